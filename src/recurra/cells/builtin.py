"""The built-in cells by name."""

from __future__ import annotations

from importlib import import_module

from recurra.cells.cell import Cell
from recurra.cells.names import NAMES

CELLS: dict[str, type[Cell]] = {
    name: getattr(import_module(module), class_name) for name, (module, class_name) in NAMES.items()
}
