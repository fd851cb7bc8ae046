"""Cells by name: one of those built in, or a class in a user's file, which is executed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from recurra.cells.builtin import CELLS
from recurra.cells.cell import Cell
from recurra.cells.code import TEXT
from recurra.cells.names import is_path, nearest_name
from recurra.cells.variants import FILE_MODULE
from recurra.errors import CellError, ConfigError, RecurraError, nearest, quoted, shortened


def built_in(name: str) -> type[Cell]:
    """The built-in cell of that name.

    Raises:
        ConfigError: there is none.
    """
    if is_path(name):
        raise ConfigError(
            f"cell: expected a class or a built-in name, got {quoted(name)}; in Python import the class and give it."
        )
    if name not in CELLS:
        raise ConfigError(
            f"cell: expected a class of recurra.Cell, or one of {', '.join(CELLS)}; got {quoted(name)}."
            f"{nearest_name(name)}"
        )
    return CELLS[name]


def resolve(name: str) -> type[Cell]:
    """The cell of that name: one of `CELLS`, or the class in FILE.py:Class, whose file is executed.

    Raises:
        ConfigError: no built-in cell has the name, or the file or the class is missing.
        CellError: the class is not a `Cell`.
    """
    if is_path(name):
        return _load_class(name)
    if name not in CELLS:
        raise ConfigError(
            f"cell {quoted(name)} is not built in; expected one of {', '.join(CELLS)}, "
            f"or FILE.py:Class.{nearest_name(name)}"
        )
    return CELLS[name]


def _load_class(name: str) -> type[Cell]:
    file, _, class_name = name.rpartition(":")
    path = Path(file)
    if not os.path.isfile(path):  # noqa: PTH113 - pathlib raises of a name that is too long
        raise ConfigError(f"cell {quoted(name)}: there is no file {shortened(file)}.")
    module = _load(path)
    cell = getattr(module, class_name, None)
    if cell is None:
        cells = [
            key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Cell)
        ]
        raise ConfigError(
            f"{file} has no class {quoted(class_name)}; its cells: {', '.join(cells)}.{nearest(class_name, cells)}"
        )
    if not (isinstance(cell, type) and issubclass(cell, Cell)):
        raise CellError(f"{name} is not a subclass of recurra.Cell.")
    return cell


def _load(path: Path) -> ModuleType:
    """The module of a file, executed unless the same text has been before."""
    text = path.read_bytes()
    # Files of one name may lie in several folders.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = FILE_MODULE + re.sub(r"\W", "_", path.stem) + "_" + digest
    before = sys.modules.get(name)
    if before is not None and getattr(before, TEXT, None) == text:
        return before
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    setattr(module, TEXT, text)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, SyntaxError):
            raise ConfigError(f"{path}, line {error.lineno}: not Python ({error.msg}).") from error
        if isinstance(error, RecurraError) or not isinstance(error, Exception | SystemExit):
            raise
        frames = extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
        line = f", line {lines[-1]}" if lines else ""
        raise ConfigError(f"{path}{line}: {type(error).__name__}: {shortened(str(error))}.") from error
    return module
