"""A step on tensors, where it has a form that plain tensors lack.

`a.softplus()`, `torch.maximum(a, 0.1)` or `h += a` mean something in the notation, and on plain tensors nothing, or
something else. The tracer notes that a step has such a form; a cell by itself then runs the step on symbols that
hold tensors, and all other cells on the tensors themselves.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recurra.cells.program import BINARY, COMPARISONS
from recurra.cells.symbols import OPERATORS, Machine, Symbol

# What the operations of a program are on tensors.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{op: getattr(operator, OPERATORS.get(op, op)) for op in (*BINARY, *COMPARISONS, "neg", "abs")},
    **{op: getattr(torch, op) for op in ("sigmoid", "tanh", "relu", "exp", "log", "sqrt")},
    **{op: getattr(torch, op) for op in ("maximum", "minimum", "where", "clamp")},
    "softplus": functional.softplus,
}


def step_on_symbols(
    step: Callable[..., Any], affine: Any, states: Sequence[Tensor], name: str
) -> list[Tensor]:
    """The new states `[B, H]`.

    Args:
        step: of a cell.
        affine: the notation on tensors.
        states: the old states.
        name: how messages call the step.
    """
    machine = Values(name, states[0])
    new = step(_Affine(machine, affine), *(Symbol(machine, state) for state in states))
    return [value._value for value in (new if isinstance(new, tuple | list) else (new,))]


class Values(Machine):
    """Carries operations out on tensors.

    Args:
        name: how messages call the step.
        like: a tensor of the type and on the device that numbers take.
    """

    def __init__(self, name: str, like: Tensor) -> None:
        self.name = name
        self._like = like

    @property
    def where(self) -> str:
        """The name of the step: its lines were quoted when it was traced."""
        return self.name

    def apply(self, op: str, operands: Sequence[Symbol | float], bounds: tuple[float | None, ...]) -> Tensor:
        """The operation's result."""
        values = [value._value if isinstance(value, Symbol) else value for value in operands]
        if op in ("maximum", "minimum", "where"):
            values = [value if isinstance(value, Tensor) else self._tensor(value) for value in values]
        return FUNCTIONS[op](*values, *bounds)

    def _tensor(self, number: float) -> Tensor:
        return torch.full((), number, dtype=self._like.dtype, device=self._like.device)

    def show(self, value: Tensor) -> str:
        """The tensor as torch prints it."""
        return repr(value)


class _Affine:
    """The `affine` notation on symbols that hold tensors."""

    def __init__(self, machine: Values, affine: Any) -> None:
        self._machine = machine
        self._affine = affine

    def __call__(self, gate: str, recurrent: Symbol | None = None) -> Symbol:
        operands = () if recurrent is None else (recurrent._value,)
        return Symbol(self._machine, self._affine(gate, *operands))

    def input(self, gate: str) -> Symbol:
        return Symbol(self._machine, self._affine.input(gate))

    def hidden(self, gate: str, recurrent: Symbol) -> Symbol:
        return Symbol(self._machine, self._affine.hidden(gate, recurrent._value))

    def vector(self, name: str) -> Symbol:
        return Symbol(self._machine, self._affine.vector(name))

    def norm(self, name: str, value: Symbol) -> Symbol:
        return Symbol(self._machine, self._affine.norm(name, value._value))
