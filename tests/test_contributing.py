"""The two walks of CONTRIBUTING.md: a task and a cell from a temporary folder go through every verb."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

from recurra.cells import builtin, names
from recurra.cli import main
from recurra.tasks.registry import TASKS

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
LETTERS = "the cat sat on the mat\nthe dog sat on the log\n" * 4

CELL = """
from recurra import Cell


class Leaky(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        return 0.5 * h + 0.5 * affine("candidate", h).tanh()
"""


def walk(name: str) -> list[list[str]]:
    """The arguments of each command in a walk."""
    found = re.search(
        rf"<!-- walk: {name} -->\n```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    return [shlex.split(line)[2:] for line in found[1].splitlines()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A temporary folder, in which Python finds modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "letters.txt").write_text(LETTERS)
    return tmp_path


def take(commands: list[list[str]], capsys) -> dict[str, str]:
    """Run the commands; what each verb prints."""
    printed = {}
    for command in commands:
        capsys.readouterr()
        assert main(command) == 0, command
        printed[command[0]] = capsys.readouterr().out
    return printed


def test_a_task_from_another_folder_goes_through_every_verb(folder, capsys, monkeypatch):
    shutil.copy(Path(__file__).with_name("tasks") / "bigram.py", folder / "from_elsewhere.py")
    monkeypatch.setitem(TASKS, "bigram", import_module("from_elsewhere").ENTRY)
    try:
        printed = take(walk("task"), capsys)
    finally:
        sys.modules.pop("from_elsewhere")
    assert set(printed) == {"train", "resume", "evaluate", "predict", "inspect", "average"}
    assert "valid_loss" in printed["train"]
    assert f"{len(LETTERS) - 1}" in printed["evaluate"].split()
    assert len(printed["predict"].splitlines()) == 8
    assert (folder / "run" / "plots" / "table.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "mean" / "model.safetensors").is_file()


def test_a_cell_from_another_folder_goes_through_every_verb(folder, capsys, monkeypatch):
    (folder / "leaky_cell.py").write_text(CELL)
    monkeypatch.setitem(names.NAMES, "leaky", ("leaky_cell", "Leaky"))
    try:
        monkeypatch.setitem(builtin.CELLS, "leaky", import_module("leaky_cell").Leaky)
        printed = take(walk("cell"), capsys)
    finally:
        sys.modules.pop("leaky_cell")
    assert "tanh(W_candidate [h, x] + b_candidate)" in printed["explain"]
    assert printed["inspect"].split() == ["run/plots/gates_h_layer1.png", "run/plots/gates_h_layer1.html"]
    assert len(printed["predict"].splitlines()) == 8
    assert (folder / "mean" / "model.safetensors").is_file()
