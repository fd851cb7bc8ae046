"""The built-in cells by name."""

from __future__ import annotations

from recurra.cells import Cell
from recurra.cells.builtin import CELLS
from recurra.cells.names import NAMES


def test_every_name_gives_the_class_that_its_path_names():
    assert list(CELLS) == list(NAMES)
    for name, path in NAMES.items():
        assert (CELLS[name].__module__, CELLS[name].__qualname__) == path


def test_each_is_a_cell_of_its_own_with_equations_in_its_docstring():
    assert len(set(CELLS.values())) == len(CELLS)
    for cell in CELLS.values():
        assert issubclass(cell, Cell)
        assert cell.__doc__
        assert cell.__doc__ != Cell.__doc__
