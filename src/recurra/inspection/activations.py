"""What the units of a layer do along a text: the values of a state or gate after each symbol.

T time, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.contracts import DIRECTIONS
from recurra.errors import ConfigError, ShapeError, nearest
from recurra.inspection.trajectory import Trajectory, trajectories
from recurra.settings import check_number

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent

Array = NDArray[Any]


@dataclass(frozen=True)
class Activations:
    """The values of a state or gate along a text, and the scale on which they are shown.

    Attributes:
        symbols: the text, one label per step; a line end may be "\\n" or any label that ends with one.
        values: `[T, H]`.
        low: the lower end of the scale; below 0 white lies half-way between blue and red, otherwise at `low`.
        high: the upper end of the scale.
        title: what is shown, such as "layer 1: c".
        name: of the state or gate.
        layer: counted from 1.
        direction: "forward" or "backward".
        cell: the cell and its size, such as "LSTM, 64 units".
    """

    symbols: Sequence[str]
    values: Array
    low: float = -1.0
    high: float = 1.0
    title: str = ""
    name: str = "values"
    layer: int = 1
    direction: str = DIRECTIONS[0]
    cell: str = ""

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.symbols) or 0 in self.values.shape:
            raise ShapeError(
                f"values: expected [{len(self.symbols)} (one row per symbol), units], at least one of each, "
                f"got {list(self.values.shape)}."
            )
        if not np.isfinite(self.values).all() or not self.low < self.high:
            raise ShapeError("values: expected finite numbers, and low < high.")

    @property
    def signed(self) -> bool:
        """Whether the scale has values below 0, and so two sides; a sigmoid gate's has one."""
        return self.low < 0

    @property
    def file_name(self) -> str:
        """A file's name without its suffix: `gates_<name>_layer<n>`, and `_backward` where it is."""
        backward = "" if self.direction == DIRECTIONS[0] else f"_{self.direction}"
        return f"gates_{self.name}_layer{self.layer}{backward}"

    def shades(self) -> Array:
        """The values as bytes `[T, H]`: 0 for low, 255 for high, clipped."""
        scaled = (self.values - self.low) / (self.high - self.low)
        return (np.clip(scaled, 0.0, 1.0) * 255).round().astype(np.uint8)

    def by_interest(self) -> Array:
        """The units, those that vary most along the text first; ties go to the lower number."""
        return np.argsort(-self.values.astype(np.float64).var(0), kind="stable")


def activations_of(
    rnn: Recurrent,
    x: Tensor,
    symbols: Sequence[str],
    what: str | None = None,
    layer: int | None = None,
    skip: int = 0,
    direction: str = DIRECTIONS[0],
) -> Activations:
    """The values of one state or gate along row 0 of an input, in evaluation mode.

    Values that leave [-1, 1] are shown through tanh, as Karpathy did with c; sigmoid gates from 0 to 1.

    Args:
        rnn: the layers; they are left as they are.
        x: what they read, `[1, T, I]`; of more rows the first is shown.
        symbols: a label for each step of `x`, T of them.
        what: a state or a gate by name; None takes the second state (the memory c of an LSTM), or the only one.
        layer: counted from 1; None takes the last.
        skip: how many of the first steps are not shown, such as the one that reads the zero start vector.
        direction: "forward" or, of bidirectional layers, "backward".

    Raises:
        ConfigError: `what`, `layer`, `skip` or `direction` is out of range.
        ShapeError: no step is left to show, `symbols` has another length, or `x` does not fit.
    """
    layer = rnn.num_layers if layer is None else layer
    _check(rnn, x, layer, skip, direction)
    all_trajectories = trajectories(rnn, x[:1])
    trajectory = next(
        each for each in all_trajectories if (each.layer, each.direction) == (layer - 1, direction)
    )
    what = trajectory.program.states[:2][-1] if what is None else what
    values, low = _values(trajectory, what)  # [1, T, H]
    squashed = bool(values.abs().max() > 1)
    shown = (values.tanh() if squashed else values)[0, skip:]
    where = f"layer {layer}" if direction == DIRECTIONS[0] else f"layer {layer} {direction}"
    return Activations(
        symbols[skip:],
        shown.double().cpu().numpy(),
        low=low,
        title=f"{where}: tanh({what})" if squashed else f"{where}: {what}",
        name=what,
        layer=layer,
        direction=direction,
        cell=trajectory.cell_and_size,
    )


def _check(rnn: Recurrent, x: Tensor, layer: int, skip: int, direction: str) -> None:
    """Raise unless there is such a layer and direction, and a step to show."""
    depth = rnn.num_layers
    if not 1 <= layer <= depth:
        raise ConfigError(
            "layer: this model has one layer; use 1."
            if depth == 1
            else f"layer: expected 1 to {depth}, got {layer}."
        )
    if direction not in DIRECTIONS[: rnn.directions]:
        known = " or ".join(DIRECTIONS[: rnn.directions])
        raise ConfigError(f"direction: expected {known}, got {direction!r}.")
    check_number("skip", skip, at_least=0)
    if x.ndim != 3 or x.shape[1] <= skip:
        raise ShapeError(
            f"text: expected at least one symbol after {skip} skipped, got x of shape {list(x.shape)}."
        )


def _values(trajectory: Trajectory, what: str) -> tuple[Tensor, float]:
    """The values of a state or gate `[B, T, H]`, and the lower end of the scale for them; the upper one is 1."""
    program = trajectory.program
    if what in program.states:
        return trajectory.all_states()[what], -1.0
    if what not in program.gates:
        known = (*program.states, *program.gates)
        raise ConfigError(f"what: expected one of {', '.join(known)}, got {what!r}.{nearest(what, known)}")
    chunks = [trajectory.chunk(number).gates()[what] for number in range(len(trajectory.borders))]
    values = torch.cat(chunks, 1)
    in_time = values.flip(1) if trajectory.direction == DIRECTIONS[1] else values
    return in_time, 0.0 if program.gate_kinds[what] == "sigmoid" else -1.0
