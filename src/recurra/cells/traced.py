"""A cell's program in one mode, with what `step` asked the cell for while it was traced.

`step` may read attributes (`self.activation`, `self.hidden_size`, `self.training`); their values are in the program.
So they are recorded, and when one of them is another value later on, the program is no longer the cell's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

from recurra.cells.program import Program
from recurra.cells.trace import trace_step

if TYPE_CHECKING:
    from recurra.cells.cell import Cell

_MUTABLE = (list, dict, set)  # compared with a copy, since they may change in place
_COMPARABLE = (str, int, float, tuple, *_MUTABLE)
_ABSENT = object()


@dataclass(frozen=True)
class Traced:
    """A program, and the cell's attributes that it was made from.

    Attributes:
        program: what `step` computes.
        reads: attributes of the cell that `step` read, by name, with their values; of methods their functions.
        asks_mode: whether `step` read `training`, so that the other mode has a program of its own.
        on_tensors: whether `step` runs on plain tensors, as `trace.Trace` has it.
    """

    program: Program
    reads: tuple[tuple[str, Any], ...]
    asks_mode: bool
    on_tensors: bool

    def changed(self, cell: Cell) -> str | None:
        """The name of an attribute that is no longer what it was, or None."""
        for name, before in self.reads:
            now = getattr(cell, name, _ABSENT)
            if type(now) is MethodType:
                now = now.__func__
            if now is not before and not (type(now) is type(before) and _equal(now, before)):
                return name
        return None


def trace_in_mode(cell: Cell, training: bool) -> Traced:
    """Trace a cell's `step` as in training, or as in evaluation.

    Raises:
        CellError: `step` leaves the notation.
    """
    mode = cell.training
    cell.training = training
    try:
        with _recording(cell) as reads:
            program, on_tensors = trace_step(cell)
    finally:
        cell.training = mode
    asks_mode = reads.pop("training", _ABSENT) is not _ABSENT
    return Traced(program, tuple(reads.items()), asks_mode, on_tensors)


@contextmanager
def _recording(cell: Cell) -> Iterator[dict[str, Any]]:
    """What is read of a cell, by name; its class is exchanged for one that writes it down."""
    reads: dict[str, Any] = {}
    plain = type(cell)

    def read(self: Cell, name: str) -> Any:
        value = plain.__getattribute__(self, name)
        if not name.startswith("__"):
            kept = value.__func__ if isinstance(value, MethodType) else value
            reads.setdefault(name, copy.deepcopy(kept) if isinstance(kept, _MUTABLE) else kept)
        return value

    body = {"__getattribute__": read, "__module__": plain.__module__, "__qualname__": plain.__qualname__}
    cell.__class__ = type(plain.__name__, (plain,), body)
    try:
        yield reads
    finally:
        cell.__class__ = plain


def _equal(now: Any, before: Any) -> bool:
    """Whether two values of one type are equal, for types of which that can be asked without side effects."""
    return isinstance(now, _COMPARABLE) and bool(now == before)
