# Every target sets up .venv by itself; `make` alone runs the demo.

PYTHON ?= python3
PIP_TORCH ?= torch==2.13.0
EXTRAS ?= demo,dev,subword,tensorboard

VENV := .venv
BIN ?= $(VENV)/bin
SETUP ?= $(VENV)/.installed
RECURRA = $(BIN)/recurra

# What the demo trains, and for how long. DEMO_OPTIONS are further options of `recurra train lm`.
DEMO_MINUTES ?= 2.5
DEMO_OUT ?= runs/demo
DEMO_OPTIONS ?=
DEMO_LENGTH ?= 600
DEMO_SPAN ?= 200

# What is tested: TESTS are files or folders, WORKERS processes run them side by side.
TESTS ?= tests
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_OPTIONS)

.PHONY: demo test test-all mutants check format clean distclean

demo: $(SETUP)
	@echo "Training a character model on the text of Python's documentation for $(DEMO_MINUTES) minutes."
	$(RECURRA) train lm --model.cell lstm --model.hidden_size 384 --model.dropout 0.1 \
	  --model.initial_bias '{forget: 0}' \
	  --training.batch_size 16 --training.bptt 64 --training.minutes $(DEMO_MINUTES) \
	  --training.weights last --optimiser.learning_rate 6e-3 --schedule.name linear \
	  $(DEMO_OPTIONS) --out $(DEMO_OUT) --overwrite
	@echo
	@echo "What it writes:"
	$(RECURRA) sample $(DEMO_OUT) --prompt "The " --n 2 --max-length $(DEMO_LENGTH) --temperature 0.6 --seed 1
	@echo
	@echo "How probable it finds a sentence (log-probability, tokens, perplexity), in order and out of it:"
	@printf '%s\n' "If the object is not a string, a TypeError is raised." \
	  "If object the is string a not, raised is TypeError a." | $(RECURRA) score $(DEMO_OUT)
	@echo
	@echo "How far back its gradients reach:"
	$(RECURRA) inspect gradients $(DEMO_OUT) --length $(DEMO_SPAN)
	@echo
	@echo "The run is in $(DEMO_OUT): settings, weights, metrics.jsonl and plots."

test: $(SETUP)
	$(PYTEST) -m "not full" $(TESTS)

test-all: $(SETUP)
	$(PYTEST) $(TESTS)

# Faults put into the sources one at a time: the tests must notice each.
mutants: $(SETUP)
	$(BIN)/python tests/mutants.py --jobs $(WORKERS)

check: $(SETUP)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy src
	$(BIN)/lint-imports

format: $(SETUP)
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "recurra needs Python 3.11 or later; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --retries 10 --timeout 180 -c constraints.txt setuptools $(PIP_TORCH)
	$(VENV)/bin/python -m pip install --quiet --retries 10 --timeout 180 -c constraints.txt \
	  --no-build-isolation -e '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
