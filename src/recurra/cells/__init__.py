"""Cells: what one time step computes. `CELLS` names those built in; `resolve` also takes FILE.py:Class."""

from typing import TYPE_CHECKING

from recurra.cells.names import NAMES
from recurra.lazy import homes, listing, resolver

if TYPE_CHECKING:  # the same names as below, for type checkers
    from recurra.cells.builtin import CELLS as CELLS
    from recurra.cells.cell import Cell as Cell
    from recurra.cells.elman import Elman as Elman, IndRNN as IndRNN, ReluElman as ReluElman
    from recurra.cells.gru import (
        GRU as GRU,
        GRUResetAfter as GRUResetAfter,
        MinimalGatedUnit as MinimalGatedUnit,
        SimplifiedGRU as SimplifiedGRU,
    )
    from recurra.cells.lookup import built_in as built_in, resolve as resolve
    from recurra.cells.lstm import (
        LSTM as LSTM,
        CoupledLSTM as CoupledLSTM,
        CoursePeepholeLSTM as CoursePeepholeLSTM,
        LayerNormLSTM as LayerNormLSTM,
        PeepholeLSTM as PeepholeLSTM,
    )
    from recurra.cells.minimal import MinGRU as MinGRU, MinLSTM as MinLSTM
    from recurra.cells.names import is_path as is_path
    from recurra.cells.program import Program as Program
    from recurra.cells.slstm import SLSTM as SLSTM
    from recurra.cells.variants import with_initial_bias as with_initial_bias

_HOMES = {class_name: module for module, class_name in NAMES.values()} | homes(
    {
        "recurra.cells.builtin": ("CELLS",),
        "recurra.cells.cell": ("Cell",),
        "recurra.cells.lookup": ("built_in", "resolve"),
        "recurra.cells.names": ("is_path",),
        "recurra.cells.program": ("Program",),
        "recurra.cells.variants": ("with_initial_bias",),
    }
)

__all__ = sorted(_HOMES)
__getattr__ = resolver(__name__, _HOMES)
__dir__ = listing(__name__, _HOMES)
