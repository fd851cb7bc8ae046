"""The line of a user's that an error is about, also where there is no source or no working directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from recurra import CellError
from recurra.cells import resolve
from recurra.cli import main

CODE = """
import os, sys, torch
os.rmdir(os.getcwd())
from recurra import Cell, CellError, ConfigError, LanguageModel, LanguageModelConfig, Recurrent
from recurra.cells import CELLS, LSTM, resolve


class Mine(Cell):
    gates = ("a",)

    def step(self, affine, h):
        return affine("a", h).tanh() * (1.0 + 2.0 ** -{power})


class Wave(Mine):
    def step(self, affine, h):
        return affine("a", h).sin()


x = torch.randn(4, 6, 3)
for backend in ("auto", "reference", "cpu"):
    for cell in (LSTM, Mine, resolve(sys.argv[1] + ":Other")):
        rnn = Recurrent(cell, 3, 5, backend=backend)
        outputs, _ = rnn(x, lengths=torch.tensor([6, 0, 3, 5]))
        outputs.square().sum().backward()
        with torch.no_grad():
            rnn.streaming().step(x[:, 0])
model = LanguageModel(LanguageModelConfig(hidden_size=5, initial_bias={{"forget": 2.0}}), 11)
model.features(torch.zeros(2, 3, dtype=torch.int64))
try: Wave(3, 5)
except CellError as error: print(error)
try: resolve("mine.py:Other")
except ConfigError as error: print(error)
"""
OTHER = """
from recurra import Cell


class Other(Cell):
    gates = ("a",)

    def step(self, affine, h):
        return 0.5 * h + affine("a").tanh()
"""


def test_a_deleted_working_directory(tmp_path: Path):
    """Everything is constructed, compiled and run in it, and errors are the usual ones."""
    gone, code, other = tmp_path / "gone", tmp_path / "code.py", tmp_path / "other.py"
    gone.mkdir()
    # A constant of this run's own, so that a kernel is compiled and not found.
    code.write_text(CODE.format(power=f"{os.getpid() % 37 + 3}"), encoding="utf-8")
    other.write_text(OTHER, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(code), str(other)], cwd=gone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    wave, missing = done.stdout.splitlines()
    assert wave.startswith(
        f'{code}, line 17, in Wave.step: `return affine("a", h).sin()`: `.sin` cannot be traced'
    )
    assert missing == "cell 'mine.py:Other': there is no file mine.py."
    assert not gone.exists()


# What a user may write, and by the names of the classes the line that is quoted and what is said of it.
WRONG = """
import functools
import torch
from recurra import Cell


def bent(value):
    return torch.nn.functional.softplus(
        torch.sin(value)
    )


class Mine(Cell):
    gates = ("update", "candidate")

    def step(self, affine, h):
        update = affine("update", h)
        return self.end(affine, update, affine("candidate", h), h)


class Branches(Mine):
    def end(self, affine, update, candidate, h):
        if update > 0:
            return candidate
        return h


class NoRule(Mine):
    def end(self, affine, update, candidate, h):
        return bent(update) + candidate


class NoMethod(Mine):
    def end(self, affine, update, candidate, h):
        parts = [part.cumsum(0) for part in (update, candidate)]
        return sum(parts)


class NoOperator(Mine):
    def end(self, affine, update, candidate, h):
        return update + candidate // 2


class Twice(Mine):
    def end(self, affine, update, candidate, h):
        return functools.reduce(lambda sum, part: sum + affine(part, h), ["update"], candidate)


class Unknown(Mine):
    def end(self, affine, update, candidate, h):
        return candidate * affine.vector("scale")


class TooMany(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        candidate = affine("candidate", h).tanh()
        return candidate, 0.5 * candidate  # two


class Several(Cell):
    gates = ("candidate",)
    early = False

    def step(self, affine, h):
        if self.early:
            return h
        return affine("candidate", h), h


class Nothing(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        h = affine("candidate", h)


class TooFew(Cell):
    gates = ("candidate",)
    state = ("h", "c")

    def step(self, affine, h):
        return affine("candidate", h).tanh()
"""
QUOTED = {
    "Branches": ("if update > 0:", "torch.where"),
    "NoRule": ("torch.sin(value)", "bent, which NoRule.step calls"),
    "NoMethod": (
        "parts = [part.cumsum(0) for part in (update, candidate)]",
        "`.cumsum` cannot be traced: a step acts on each hidden unit by itself, except in affine(...) and "
        "affine.norm(...); what can: +",
    ),
    "NoOperator": ("return update + candidate // 2", "`//` cannot be traced; what can"),
    "Twice": (
        'return functools.reduce(lambda sum, part: sum + affine(part, h), ["update"], candidate)',
        "declare two",
    ),
    "Unknown": ('return candidate * affine.vector("scale")', "Cell.vectors does not declare; add it there"),
    "TooMany": ("return candidate, 0.5 * candidate  # two", "TooMany.step: `return candidate"),
    "Several": ("def step(self, affine, h):", "returned 2 values, but Cell.state declares 1: h"),
    "Nothing": ('h = affine("candidate", h)', "got NoneType"),
    "TooFew": ("def step(self, affine, h):", "expected step(self, affine, h, c)"),
}


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", QUOTED)
def test_the_line_of_the_source_is_quoted(name, wrong):
    text, said = QUOTED[name]
    with pytest.raises(CellError) as caught:
        resolve(f"{wrong}:{name}")(3, 5)
    message = str(caught.value)
    assert "\n" not in message
    found = re.match(rf"{re.escape(str(wrong))}, line (\d+), in .*?: `(.*?)`", message)
    assert found is not None, message
    assert found[2] == text
    assert WRONG.splitlines()[int(found[1]) - 1].strip() == text
    assert f"{name}.step" in message
    assert said in message


@pytest.mark.parametrize("name", QUOTED)
def test_the_command_line_quotes_it_too(name, wrong, monkeypatch, capsys):
    """From the folder of the file its name is enough."""
    monkeypatch.chdir(wrong.parent)
    assert main(["explain", "--cell", f"wrong.py:{name}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recurra: wrong.py, line ")
    assert f"`{QUOTED[name][0]}`" in line


def test_training_with_it_ends_before_it_begins(wrong, monkeypatch, capsys):
    monkeypatch.chdir(wrong.parent)
    assert main(["train", "lm", "--model.cell", "wrong.py:TooMany", "--out", "run"]) == 2
    assert "wrong.py, line " in capsys.readouterr().err
    assert not Path("run").exists()


def test_without_source_the_line_is_named():
    """As in a session of Python's own, whose lines are kept nowhere."""
    code = (
        "from recurra import Cell\n"
        "class Mine(Cell):\n"
        "    def step(self, affine, h):\n"
        "        return h.sin()\n"
        "class Mine2(Mine):\n"
        "    def step(self, affine, h):\n"
        "        return h, h\n"
        "for cell in (Mine, Mine2):\n"
        "    try: cell(1, 2)\n"
        "    except TypeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("<stdin>, line 4, in Mine.step: `.sin` cannot be traced")
    assert second.startswith("<stdin>, line 7, in Mine2.step returned 2 values")
