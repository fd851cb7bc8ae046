"""The names of the built-in cells, without PyTorch."""

from __future__ import annotations

from recurra import cells
from recurra.cells import CELLS
from recurra.cells.names import NAMES
from torch_free import run_torch_free


def test_names_are_found_without_pytorch():
    run_torch_free("""
        import recurra.cells
        from recurra.cells.names import NAMES, is_path
        assert list(NAMES)[0] == 'elman' and is_path('mine.py:Mine')
    """)


def test_every_named_class_is_a_public_name():
    for name in NAMES:
        assert getattr(cells, CELLS[name].__name__) is CELLS[name]


def test_every_public_name_resolves_and_is_listed():
    assert set(cells.__all__) <= set(dir(cells))
    assert all(getattr(cells, name) is not None for name in cells.__all__)
