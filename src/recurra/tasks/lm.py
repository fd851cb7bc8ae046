"""Language modelling: text (or note sets) → a trained, evaluated run that samples and scores.

B batch, T time, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurra.cells import CELLS, Cell
from recurra.contracts import Batch, State
from recurra.data.batches import evaluation_batches, training_batches
from recurra.data.corpus import Corpus, Split, Tokens, load_corpus, load_test
from recurra.data.notes import NoteSequences
from recurra.data.text import TextConfig
from recurra.data.vocabulary import Vocabulary
from recurra.durable import write_aside
from recurra.errors import ConfigError, RunError
from recurra.metrics.perplexity import Score
from recurra.models.language_model import LanguageModel, LanguageModelConfig
from recurra.tasks.language_run import LMRun
from recurra.training.config import TrainingConfig
from recurra.training.durable import json_bytes, read_json
from recurra.training.loop import Result, fit, initial_state, resolve_device
from recurra.training.optimiser import OptimiserConfig
from recurra.training.resume import apply_weights, model_tensors
from recurra.training.run_directory import RunDirectory, check_free
from recurra.training.schedule import ScheduleConfig

TASK = "lm"
TASK_FILE = "task.json"


@dataclass(frozen=True)
class LMConfig:
    """A language model's run: one part per group of keys."""

    data: TextConfig = field(default_factory=TextConfig)
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)


class LMJob:
    """What the training loop sees of a language model: its batches, its loss, its validation score."""

    def __init__(self, model: LanguageModel, corpus: Corpus, training: TrainingConfig) -> None:
        self.model = model
        self.corpus = corpus
        self.training = training

    def batches(self, epoch: int) -> Sequence[Batch]:
        """The batches of one epoch."""
        config = self.training
        return training_batches(self.corpus.train, config.batch_size, config.bptt, config.seed, epoch)

    def loss(self, batch: Batch, state: State | None) -> tuple[Tensor, int, State]:
        """The sum of nats over the batch, its tokens, and the state to carry on."""
        return self.model.loss(batch, state)

    def evaluate(self) -> dict[str, float]:
        """Mean nats per token and perplexity on the validation split, in `batch_size` streams."""
        score = score_split(self.model, self.corpus.valid, self.corpus.vocabulary, self.training.batch_size)
        return {"loss": score.nats, **figures(score)}


def figures(score: Score) -> dict[str, float]:
    """Perplexity and bits per character; note sets, whose nats are summed over keys, have neither."""
    bits = score.bits_per_character
    return {} if bits is None else {"perplexity": score.perplexity, "bits_per_character": bits}


@torch.no_grad()
def score_split(model: LanguageModel, split: Split, vocabulary: Vocabulary, streams: int = 1) -> Score:
    """The cost of every token of a split under the model in evaluation mode.

    Args:
        streams: rows at a time. A continuous text is cut into that many streams, each from the zero state;
            1 scores it as one. Separate lines or sequences score the same for any number.
    """
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    total, tokens, state = 0.0, 0, None
    try:
        for batch in evaluation_batches(split, streams):
            loss, count, state = model.loss(batch.to(device), state if batch.continues else None)
            total += float(loss)
            tokens += count
    finally:
        model.train(training)
    characters = None if isinstance(split, NoteSequences) else split.characters
    return Score(total, tokens, characters, vocabulary.counted)


def train(
    config: LMConfig | None = None,
    out: str | Path = "runs/lm",
    cell: type[Cell] | None = None,
    overwrite: bool = False,
) -> LMRun:
    """Train a language model into a new run directory.

    Args:
        config: everything but the place; None for all defaults, on the text of Python's documentation.
        out: the run directory, which must not exist, or be an empty folder, unless `overwrite`.
        cell: a cell of your own, instead of `config.model.cell`.
        overwrite: replace a run that is there.

    Returns:
        The run, with the weights that `training.weights` names. Ctrl-C ends it early: `run.result` says so,
        and `resume` goes on.

    Raises:
        ConfigError, DataError, RunError, TrainingError: one line each that says what to do.
    """
    config = _with_cell(config or LMConfig(), cell)
    check_free(out, overwrite)
    device = resolve_device(config.training.device)
    corpus = load_corpus(config.data)
    torch.manual_seed(config.training.seed)
    model = build_model(config.model, corpus.vocabulary, cell).to(device)
    job = LMJob(model, corpus, config.training)
    job.batches(0)  # a text too short for one batch is said before anything is written
    task = {
        "task": TASK,
        "format": 1,
        "cell": config.model.cell,
        "program": _program_digest(model),
        "digests": corpus.digests,
    }

    def write_files(folder: Path) -> None:
        corpus.vocabulary.save(folder)
        write_aside(folder / TASK_FILE, json_bytes(task))

    parts = (config.training, config.optimiser, config.schedule)
    known = _provenance(job)
    start = initial_state(job, *parts, *known)
    directory = RunDirectory.create(out, _plain(config), write_files, model_tensors(model), start, overwrite)
    result = fit(job, *parts, directory, False, *known)
    return _finish(job, config, directory, result, corpus.vocabulary)


def resume(path: str | Path, cell: type[Cell] | None = None) -> LMRun:
    """Go on with a run from its last complete state, to the end that its configuration names.

    Raises:
        RunError: the run is damaged, or the data or the cell's program have changed since.
    """
    directory, config = _open(path)
    corpus = load_corpus(config.data, Vocabulary.load(directory.path))
    torch.manual_seed(config.training.seed)
    model = _build(directory, config, corpus.vocabulary, cell, strict=True)
    model.to(resolve_device(config.training.device))
    job = LMJob(model, corpus, config.training)
    parts = (config.training, config.optimiser, config.schedule)
    result = fit(job, *parts, directory, True, *_provenance(job))
    return _finish(job, config, directory, result, corpus.vocabulary)


def load(path: str | Path, cell: type[Cell] | None = None, device: str = "cpu") -> LMRun:
    """Open a run to use it.

    Args:
        path: the run directory.
        cell: the class of a run's own cell; not needed for built-in ones.
        device: "cpu", "cuda" or "auto".

    Raises:
        RunError: the run is missing or damaged, or its cell's code was not named.
    """
    directory, config = _open(path)
    vocabulary = Vocabulary.load(directory.path)
    model = _build(directory, config, vocabulary, cell, strict=False)
    apply_weights(model, directory.load_weights(), directory.path)
    model.to(resolve_device(device)).eval()
    return LMRun(directory, config.data, model, vocabulary, _evaluator(config, model, vocabulary))


def build_model(
    config: LanguageModelConfig, vocabulary: Vocabulary, cell: type[Cell] | None = None
) -> LanguageModel:
    """The model for a vocabulary, its weights drawn from torch's generator."""
    return LanguageModel(config, len(vocabulary), cell, note_sets=vocabulary.kind == "notes")


def _provenance(job: LMJob) -> tuple[dict[str, str], dict[str, str]]:
    """What a resumed run is held against: digests that must be the same, facts whose change is said."""
    fingerprint = {f"data.{name}": digest for name, digest in job.corpus.digests.items()}
    fingerprint |= {"vocabulary": job.corpus.vocabulary.digest, "model.cell": _program_digest(job.model)}
    return fingerprint, {"backend": job.model.rnn.choose_backend()}


def _program_digest(model: LanguageModel) -> str:
    cell = next(module for module in model.modules() if isinstance(module, Cell))
    return cell.program.digest


def _finish(
    job: LMJob, config: LMConfig, directory: RunDirectory, result: Result, vocabulary: Vocabulary
) -> LMRun:
    """The run with the weights to use, and its training curves drawn."""
    from recurra.inspection.curves import save_training

    apply_weights(job.model, directory.load_weights(), directory.path)
    job.model.eval()
    records = directory.metrics()
    if records:  # an interruption may come before the first evaluation
        save_training(records, directory.path / "plots" / "training.png")
    evaluator = _evaluator(config, job.model, vocabulary, job.corpus)
    return LMRun(directory, config.data, job.model, vocabulary, evaluator, result)


def _evaluator(
    config: LMConfig, model: LanguageModel, vocabulary: Vocabulary, corpus: Corpus | None = None
) -> Callable[[Sequence[str] | None], Score]:
    """What `LMRun.evaluate` calls: a full evaluation, a continuous text as one stream."""

    def evaluate(files: Sequence[str] | None) -> Score:
        if files:
            split = load_test(files, config.data, vocabulary)
        else:
            whole = corpus or load_corpus(config.data, vocabulary)
            split = whole.test or whole.valid
        continuous = isinstance(split, Tokens) and split.offsets is None
        return score_split(model, split, vocabulary, 1 if continuous else config.training.batch_size)

    return evaluate


def _with_cell(config: LMConfig, cell: type[Cell] | None) -> LMConfig:
    """The configuration with the name of the cell's class in it."""
    if cell is None:
        return config
    return dataclasses.replace(config, model=dataclasses.replace(config.model, cell=cell.__name__))


def _plain(config: LMConfig) -> dict[str, Any]:
    """What `config.yaml` holds: every key resolved, files by their absolute paths."""
    values = asdict(config)
    for split in ("train", "valid", "test"):
        values["data"][split] = [str(Path(path).resolve()) for path in values["data"][split]]
    return values


def _open(path: str | Path) -> tuple[RunDirectory, LMConfig]:
    directory = RunDirectory.open(path)
    task = read_json(directory.path / TASK_FILE)
    if task.get("task") != TASK:
        raise RunError(f"{directory.path}: expected a run of the task {TASK!r}, got {task.get('task')!r}.")
    return directory, config_from_dict(directory.config, directory.path)


def config_from_dict(values: Mapping[str, Any], source: str | Path) -> LMConfig:
    """The configuration in a run's `config.yaml`.

    Raises:
        RunError: a key is unknown or missing, or a value is out of range; the file was changed or is foreign.
    """
    from recurra.layers.regularisation import Regularisation

    try:
        values = {key: dict(value) for key, value in values.items()}
        values["model"]["regularisation"] = Regularisation(**values["model"]["regularisation"])
        values["optimiser"]["betas"] = tuple(values["optimiser"]["betas"])
        parts = {
            "data": TextConfig,
            "model": LanguageModelConfig,
            "training": TrainingConfig,
            "optimiser": OptimiserConfig,
            "schedule": ScheduleConfig,
        }
        return LMConfig(**{name: part(**values.pop(name)) for name, part in parts.items()}, **values)
    except (TypeError, KeyError, ValueError, ConfigError) as error:
        raise RunError(
            f"{source}/config.yaml: damaged or foreign ({error}); put the original file back."
        ) from error


def _build(
    directory: RunDirectory, config: LMConfig, vocabulary: Vocabulary, cell: type[Cell] | None, strict: bool
) -> LanguageModel:
    """The model of a run, its cell's program held against the one recorded."""
    name = config.model.cell
    if cell is None and name not in CELLS:
        raise RunError(
            f"{directory.path}: the run's cell {name!r} is not built in; name its code, "
            f"--model.cell FILE.py:{name} or cell={name}."
        )
    model = build_model(config.model, vocabulary, cell)
    recorded = read_json(directory.path / TASK_FILE).get("program")
    if recorded != _program_digest(model):
        message = f"{directory.path}: the equations of cell {name!r} are not those the run was trained with"
        if strict:
            raise RunError(f"{message}; resume with the original code.")
        import sys

        print(f"recurra: {message}; its results may differ.", file=sys.stderr)
    return model
