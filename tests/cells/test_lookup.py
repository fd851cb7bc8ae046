"""Cells by name, and from a file of the user's own."""

from __future__ import annotations

import pytest

from recurra import CellError, ConfigError
from recurra.cells import CELLS, Cell, resolve

OWN_CELL = """
from recurra import Cell


class MinimalGatedUnit(Cell):
    gates = ("forget", "candidate")

    def step(self, affine, h):
        forget = affine("forget", h).sigmoid()
        candidate = affine("candidate", forget * h).tanh()
        return forget * candidate + (1 - forget) * h


helper = 3
"""


@pytest.fixture
def own_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN_CELL, encoding="utf-8")
    return path


def test_every_built_in_cell_has_a_name():
    assert all(resolve(name) is cell for name, cell in CELLS.items())


def test_own_cell_from_a_file(own_file):
    cell = resolve(f"{own_file}:MinimalGatedUnit")
    assert issubclass(cell, Cell)
    assert cell(2, 3).program.gates == ("forget", "candidate")


def test_what_is_not_there(own_file, tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'lstm'"):
        resolve("lsmt")
    with pytest.raises(ConfigError, match=r"no file .*nowhere\.py"):
        resolve(f"{tmp_path / 'nowhere.py'}:Mine")
    with pytest.raises(ConfigError, match="Did you mean 'MinimalGatedUnit'"):
        resolve(f"{own_file}:MinimalGatdUnit")
    with pytest.raises(CellError, match=r"not a subclass of recurra\.Cell"):
        resolve(f"{own_file}:helper")


def test_a_file_that_is_not_python_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("\n\nclass Mine(Cell:\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken\.py, line 3: not Python"):
        resolve(f"{path}:Mine")
