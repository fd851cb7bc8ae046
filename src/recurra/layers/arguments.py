"""What `Recurrent` checks of its arguments and of what it is called with.

B batch, T time.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recurra.cells.cell import Cell
from recurra.contracts import State
from recurra.engine.choose import check_name
from recurra.engine.transformations import COMPILE, EXPORT, transformations
from recurra.errors import CellError, ConfigError, ShapeError, StateError
from recurra.layers.names import INITIAL_STATES
from recurra.settings import PROBABILITY, check_number

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent


def check_cell(cell: object) -> None:
    """Raise unless it is a class of cells that can be made of their two sizes.

    Raises:
        CellError: it is not, or its constructor wants something else.
    """
    if not (isinstance(cell, type) and issubclass(cell, Cell)):
        raise CellError(f"cell: expected a subclass of recurra.Cell, got {cell!r}.")
    try:
        inspect.signature(cell.__init__).bind(None, 1, 1)
    except TypeError as error:
        raise CellError(
            f"cell: {cell.__name__} is made by {cell.__name__}(input_size, hidden_size), but its constructor has "
            f"{error}; give further arguments a default, or make them attributes of the class."
        ) from error


def check_arguments(rnn: Recurrent) -> None:
    """Raise unless the arguments are in range, act on something, and go together.

    Raises:
        ConfigError, BackendError: they do not; the message names the argument.
    """
    check_number("dropout", rnn.dropout, float, **PROBABILITY)
    check_name(rnn.backend)
    if rnn.initial_state not in INITIAL_STATES:
        raise ConfigError(
            f"initial_state: expected one of {', '.join(INITIAL_STATES)}, got {rnn.initial_state!r}."
        )
    steps = "a whole number of steps, at least 1, or None"
    check_number("chunk", rnn.chunk, int | None, at_least=1, expected=steps)
    if rnn.dropout and rnn.num_layers == 1:
        raise ConfigError(
            "dropout acts between layers and there is only one; use regularisation=, or more layers."
        )
    if rnn.residual and rnn.num_layers == 1:
        raise ConfigError("residual joins a layer to the one below and there is only one; use more layers.")
    if rnn.residual and len(set(rnn.hidden_sizes)) > 1:
        raise ConfigError(
            f"residual: the layers must be equally wide, got hidden_size {list(rnn.hidden_sizes)}."
        )
    if rnn.bidirectional and rnn.stateful:
        raise ConfigError(
            "stateful: a bidirectional layer cannot carry its state from call to call, since the backward "
            "direction needs the whole sequence; use one direction."
        )


def widths(hidden_size: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """One width per layer.

    Raises:
        ConfigError: a width or the depth is not a whole number of at least 1, or they contradict each other.
    """
    check_number("num_layers", num_layers, at_least=1)
    if not isinstance(hidden_size, Sequence):
        chosen: tuple[int, ...] = (hidden_size,) * num_layers
    else:
        chosen = tuple(hidden_size)
        if not chosen or num_layers not in (1, len(chosen)):
            raise ConfigError(
                f"hidden_size: expected {num_layers} widths, one per layer, got {list(chosen)}."
            )
    for width in chosen:
        check_number("hidden_size", width, at_least=1)
    return chosen


def check_input(x: Tensor, input_size: int, sample: Tensor | None) -> None:
    """Raise unless `x` is `[B, T, I]` of the layers' type; `sample` is one of their parameters, if they have any.

    Raises:
        ShapeError: it is not.
    """
    if x.ndim != 3 or x.shape[2] != input_size:
        raise ShapeError(f"x: expected [batch, time, {input_size}], got {list(x.shape)}.")
    if sample is not None and x.dtype != sample.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ShapeError(f"x: expected {sample.dtype}, the type of the weights, got {x.dtype}.")


def check_state(rnn: Recurrent, state: State, batch_size: int) -> None:
    """Raise unless `state` fits the layers and the batch.

    Raises:
        StateError: it does not; nothing is ever broadcast.
    """
    if not isinstance(state, State):
        raise StateError(f"state: expected a State, got {type(state).__name__}; see recurra.State.")
    zero = rnn.zero_state(0, like=next(state.tensors())[1])
    expected = {key: tuple(value.shape[1:]) for key, value in zero.tensors()}
    given = {key: tuple(value.shape[1:]) for key, value in state.tensors()}
    if expected != given:
        raise StateError(
            f"state: expected {expected} (name: width), got {given}; it belongs to other layers."
        )
    dtype = next(zero.tensors())[1].dtype
    for key, value in state.tensors():
        if value.dtype != dtype:
            raise StateError(
                f"state: {key} is {value.dtype}, the weights are {dtype}; use state.to({dtype})."
            )
        if value.shape[0] != batch_size:
            noun = "row" if value.shape[0] == 1 else "rows"
            raise StateError(
                f"state: {key} has {value.shape[0]} {noun} and the batch has {batch_size}; "
                "select the rows of the state that continue, or call reset()."
            )


def check_lengths(lengths: Tensor | None, x: Tensor) -> Tensor | None:
    """`lengths` on the device of `x`, or None where every row is T long.

    Raises:
        ShapeError: they are not `[B]` whole numbers from 0 to T. Under torch.compile and torch.export, where their
            values are not known, the graph raises when it runs.
    """
    if lengths is None:
        return None
    if not isinstance(lengths, Tensor):
        raise ShapeError(f"lengths: expected a tensor [batch], got {type(lengths).__name__}.")
    if lengths.shape != (x.shape[0],) or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise ShapeError(
            f"lengths: expected whole numbers [{x.shape[0]}], got {lengths.dtype} {list(lengths.shape)}."
        )
    if lengths.numel() == 0:
        return None
    if {COMPILE, EXPORT}.intersection(transformations()):
        possible = ((lengths >= 0) & (lengths <= x.shape[1])).all()
        torch._assert_async(possible, "lengths: expected 0 to the length of the time axis of x")
        return lengths.to(x.device, torch.int64)
    values = lengths
    while torch._C._functorch.is_functorch_wrapped_tensor(values):  # under torch.vmap all rows' lengths
        values = torch._C._functorch.get_unwrapped(values)
    shortest, longest = (int(bound) for bound in values.aminmax())
    if shortest < 0 or longest > x.shape[1]:
        raise ShapeError(
            f"lengths: expected 0 to {x.shape[1]} (the time axis of x), got {shortest} to {longest}."
        )
    return None if shortest == x.shape[1] else lengths.to(x.device, torch.int64)
