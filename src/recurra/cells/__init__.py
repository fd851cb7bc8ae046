"""Cells: what one time step computes. `CELLS` names those built in; `resolve` also takes FILE.py:Class."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from recurra.cells.cell import Cell
from recurra.cells.elman import Elman, IndRNN, ReluElman
from recurra.cells.gru import GRU, GRUResetAfter, MinimalGatedUnit, SimplifiedGRU
from recurra.cells.lstm import LSTM, CoupledLSTM, CoursePeepholeLSTM, LayerNormLSTM, PeepholeLSTM
from recurra.cells.minimal import MinGRU, MinLSTM
from recurra.cells.program import Program
from recurra.cells.slstm import SLSTM
from recurra.cells.variants import FILE_MODULE, with_initial_bias
from recurra.errors import CellError, ConfigError, nearest

CELLS: dict[str, type[Cell]] = {
    "elman": Elman,
    "relu_elman": ReluElman,
    "simplified_gru": SimplifiedGRU,
    "gru": GRU,
    "gru_reset_after": GRUResetAfter,
    "lstm": LSTM,
    "peephole_lstm": PeepholeLSTM,
    "course_peephole_lstm": CoursePeepholeLSTM,
    "layer_norm_lstm": LayerNormLSTM,
    "coupled_lstm": CoupledLSTM,
    "minimal_gated_unit": MinimalGatedUnit,
    "ind_rnn": IndRNN,
    "min_gru": MinGRU,
    "min_lstm": MinLSTM,
    "slstm": SLSTM,
}

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "SLSTM",
    "Cell",
    "CoupledLSTM",
    "CoursePeepholeLSTM",
    "Elman",
    "GRUResetAfter",
    "IndRNN",
    "LayerNormLSTM",
    "MinGRU",
    "MinLSTM",
    "MinimalGatedUnit",
    "PeepholeLSTM",
    "Program",
    "ReluElman",
    "SimplifiedGRU",
    "resolve",
    "with_initial_bias",
]


_TEXT = "__recurra_text__"  # where a module that was made of a file keeps its text


def is_path(name: str) -> bool:
    """Whether `name` has the form FILE.py:Class."""
    return ".py:" in name


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
            f"cell {name!r} is not built in; expected one of {', '.join(CELLS)}, "
            f"or FILE.py:Class.{nearest(name, CELLS)}"
        )
    return CELLS[name]


def _load_class(name: str) -> type[Cell]:
    file, _, class_name = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"cell {name!r}: there is no file {file}.")
    module = _load(path)
    found = getattr(module, class_name, None)
    if found is None:
        cells = [
            key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Cell)
        ]
        raise ConfigError(
            f"{file} has no class {class_name!r}; its cells: {', '.join(cells)}.{nearest(class_name, cells)}"
        )
    if not (isinstance(found, type) and issubclass(found, Cell)):
        raise CellError(f"{name} is not a subclass of recurra.Cell.")
    return found


def _load(path: Path) -> ModuleType:
    """The module of a file, executed unless the same text has been before."""
    text = path.read_bytes()
    # Files of one name may lie in several folders.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = FILE_MODULE + re.sub(r"\W", "_", path.stem) + "_" + digest
    before = sys.modules.get(name)
    if before is not None and getattr(before, _TEXT, None) == text:
        return before
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    setattr(module, _TEXT, text)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, SyntaxError):
            raise ConfigError(f"{path}, line {error.lineno}: not Python ({error.msg}).") from error
        raise
    return module
