"""Commands as a user gives them, in this process (what they print, how they fail) or in one of their own."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import recurra
from recurra.cli import main

OWN_CELL = """
from recurra import Cell


class Leaky(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        return 0.5 * h + 0.5 * affine("candidate", h).tanh()
"""


def fails(capsys, *arguments: str) -> str:
    """The one line with which a command exits 2, without its `recurra: `."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("recurra: ")
    assert err.count("\n") == 1
    return err.removeprefix("recurra: ").rstrip("\n")


def prints(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def feed(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def environment() -> dict[str, str]:
    source = str(Path(recurra.__file__).parents[1])
    return os.environ | {"PYTHONPATH": source, "OMP_NUM_THREADS": "1"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "recurra", *arguments]
