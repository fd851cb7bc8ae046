"""Checks of what a cell's class declares, of its attributes, and of the arguments of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from recurra.errors import CellError, ShapeError

if TYPE_CHECKING:
    from recurra.cells.cell import Cell

_NAMES = ("gates", "state", "vectors", "norms")
_INITIAL = ("initial_bias", "initial_vector")


def check_declarations(cell: Cell) -> None:
    """Raise unless the class declares names, initial values and `has_bias` as it should, and the object none of them.

    Raises:
        CellError: it does not.
    """
    cell_class = type(cell)
    for name in (*_NAMES, *_INITIAL, "has_bias"):
        declared, what = getattr(cell_class, name), f"{cell_class.__name__}.{name}"
        if name in vars(cell):
            raise CellError(
                f"{what}: set on the object; declare it in the class, and make a subclass for a variant."
            )
        if name in _NAMES:
            _check_names(what, declared)
        elif name == "has_bias":
            if not isinstance(declared, bool):
                raise CellError(f"{what}: expected True or False, got {declared!r}.")
        elif not isinstance(declared, Mapping) or not all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in declared.values()
        ):
            raise CellError(f"{what}: expected numbers by name, as {{'a': 1.0}}, got {declared!r}.")


def _check_names(what: str, declared: Any) -> None:
    """Raise unless `declared` is a tuple of distinct names; `state` needs at least one."""
    named = isinstance(declared, tuple) and all(
        isinstance(name, str) and name.isidentifier() for name in declared
    )
    if not named or len(set(declared)) != len(declared) or (what.endswith(".state") and not declared):
        raise CellError(f"{what}: expected a tuple of distinct names, got {declared!r}.")


def check_names_free(cell: Cell, names: Sequence[str]) -> None:
    """Raise if an attribute has the name of a parameter that the cell is about to make.

    Raises:
        CellError: it has.
    """
    for name in names:
        if hasattr(cell, name):
            remedy = "; has_bias = False leaves the biases out" if name == "bias" else ""
            raise CellError(
                f"{type(cell).__name__}.{name}: a parameter of the cell has this name; choose another one{remedy}."
            )


def hooks_around(module: nn.Module, expected: Sequence[type] = ()) -> list[str]:
    """The kinds of hooks that a module has around its call, but for those of the types expected."""
    kinds = {
        "forward pre-hook": module._forward_pre_hooks,
        "forward hook": module._forward_hooks,
        "backward pre-hook": module._backward_pre_hooks,
        "backward hook": module._backward_hooks,
    }
    if not any(kinds.values()):
        return []
    return [
        kind
        for kind, hooks in kinds.items()
        if any(not isinstance(hook, tuple(expected)) for hook in hooks.values())
    ]


def check_arguments(cell: Cell, x_t: Tensor, states: Sequence[Tensor]) -> None:
    """Raise unless `x_t` is `[B, I]` and every state `[B, H]`, all of the type of the weights.

    Raises:
        ShapeError: they are not.
    """
    if len(states) != len(cell.state):
        raise ShapeError(f"state: expected {len(cell.state)} ({', '.join(cell.state)}), got {len(states)}.")
    named = dict(zip(("x_t", *cell.state), (x_t, *states), strict=True))
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise ShapeError(f"{name}: expected a tensor, got {type(value).__name__}.")
    if x_t.ndim != 2 or x_t.shape[1] != cell.input_size:
        raise ShapeError(f"x_t: expected [batch, {cell.input_size}], got {list(x_t.shape)}.")
    for name, value in zip(cell.state, states, strict=True):
        if value.shape != (x_t.shape[0], cell.hidden_size):
            raise ShapeError(
                f"{name}: expected [{x_t.shape[0]}, {cell.hidden_size}], got {list(value.shape)}."
            )
    weights = next((value.dtype for value in cell._parameters.values() if value is not None), None)
    if weights is None:
        named.pop("x_t")  # no input reaches the states of a cell without weights
        if not states[0].is_floating_point():
            raise ShapeError(f"{cell.state[0]}: expected numbers with a fraction, got {states[0].dtype}.")
    expected, of = (states[0].dtype, "the other states") if weights is None else (weights, "the weights")
    for name, value in named.items():
        if value.dtype != expected and not torch.is_autocast_enabled(value.device.type):
            raise ShapeError(f"{name}: expected {expected}, the type of {of}, got {value.dtype}.")
