"""Text coloured by what single units do while the model reads it (Karpathy, Johnson & Li 2015).

The drawing takes symbols and an array of activations, whatever model they come from; `inspect_gates` gets
them from a language model. A symbol has the colour of the unit's value after the model has read it.

T time, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.contracts import DIRECTIONS
from recurra.errors import ConfigError, ShapeError, nearest
from recurra.inspection.figures import save_figure, save_text
from recurra.inspection.trajectory import Trajectory, trajectories

if TYPE_CHECKING:
    from recurra.models.language_model import LanguageModel

Array = NDArray[Any]


@dataclass(frozen=True)
class Activations:
    """The values of a state or gate along a text, and the scale on which they are shown.

    Attributes:
        symbols: the text, one label per step; a line end may be "\\n" or any label that ends with one.
        values: `[T, H]`.
        low: the value shown in the darkest blue.
        high: the value shown in the darkest red; white lies half-way.
        title: what is shown, such as "layer 1: c".
        name: of the state or gate.
    """

    symbols: Sequence[str]
    values: Array
    low: float = -1.0
    high: float = 1.0
    title: str = ""
    name: str = "values"

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.symbols) or 0 in self.values.shape:
            raise ShapeError(
                f"values: expected [{len(self.symbols)} (one row per symbol), units], at least one of each, "
                f"got {list(self.values.shape)}."
            )
        if not np.isfinite(self.values).all() or not self.low < self.high:
            raise ShapeError("values: expected finite numbers, and low < high.")

    def shades(self) -> Array:
        """The values as bytes `[T, H]`: 0 for low, 255 for high, clipped."""
        scaled = (self.values - self.low) / (self.high - self.low)
        return (np.clip(scaled, 0.0, 1.0) * 255).round().astype(np.uint8)

    def by_interest(self) -> Array:
        """The units, those that vary most along the text first; ties go to the lower number."""
        return np.argsort(-self.values.astype(np.float64).var(0), kind="stable")


def inspect_gates(
    model: LanguageModel,
    ids: Tensor,
    symbols: Sequence[str],
    folder: str | Path,
    what: str | None = None,
    layer: int | None = None,
    units: int = 8,
) -> list[Path]:
    """Run a language model over a text and colour the text by its units.

    Args:
        model: over symbols, not note sets; it is left as it is.
        ids: the text, `[T]` (int64), at least one symbol.
        symbols: its labels, T of them.
        folder: where the files go; made if it is missing.
        what: a state or a gate by name; None takes the second state (the memory c of an LSTM), or the only one.
        layer: counted from 1; None takes the last.
        units: how many the picture shows, the most varying ones; the page in HTML has them all.

    Returns:
        The files, `gates_<what>_layer<n>.png` and `.html`.

    Raises:
        ConfigError: `what`, `layer` or `units` is out of range.
        ShapeError: the text is empty, or `symbols` has another length.
    """
    from recurra.inspection.gates_html import gates_page
    from recurra.inspection.gates_picture import plot_gates

    if units < 1:
        raise ConfigError(f"units: expected at least 1, got {units}.")
    layer = len(model.rnn.hidden_sizes) if layer is None else layer
    activations = activations_of(model, ids, symbols, what, layer)
    name = f"gates_{activations.name}_layer{layer}"
    return [
        save_figure(plot_gates(activations, units), Path(folder) / f"{name}.png"),
        save_text(gates_page(activations), Path(folder) / f"{name}.html"),
    ]


def activations_of(
    model: LanguageModel,
    ids: Tensor,
    symbols: Sequence[str],
    what: str | None = None,
    layer: int | None = None,
) -> Activations:
    """A language model's values of one state or gate after each symbol of a text; see `inspect_gates`.

    Values that leave [-1, 1] are shown through tanh, as Karpathy did with c; sigmoid gates from 0 to 1.
    """
    if ids.ndim != 1 or not len(ids):
        raise ShapeError(f"text: expected at least one symbol, got ids of shape {list(ids.shape)}.")
    depth = len(model.rnn.hidden_sizes)
    layer = depth if layer is None else layer
    if not 1 <= layer <= depth:
        raise ConfigError(f"layer: expected 1 to {depth}, got {layer}.")
    # A sequence starts with the zero vector, for which -1 stands; the step after it has read the first symbol.
    with_start = torch.cat([ids.new_full((1,), -1), ids])[None]  # [1, T + 1]
    with torch.no_grad():
        x = model.embed(with_start.to(next(model.parameters()).device))
    trajectory = next(
        each
        for each in trajectories(model.rnn, x)
        if (each.layer, each.direction) == (layer - 1, DIRECTIONS[0])
    )
    what = trajectory.program.states[:2][-1] if what is None else what
    values, low = _values(trajectory, what)  # [1, T + 1, H]
    squashed = bool(values.abs().max() > 1)
    shown = (values.tanh() if squashed else values)[0, 1:]
    title = f"layer {layer}: tanh({what})" if squashed else f"layer {layer}: {what}"
    return Activations(symbols, shown.double().cpu().numpy(), low=low, title=title, name=what)


def _values(trajectory: Trajectory, what: str) -> tuple[Tensor, float]:
    """The values of a state or gate `[B, T, H]`, and the lower end of the scale for them; the upper one is 1."""
    program = trajectory.program
    if what in program.states:
        return trajectory.all_states()[what], -1.0
    if what not in program.gates:
        known = (*program.states, *program.gates)
        raise ConfigError(f"what: expected one of {', '.join(known)}, got {what!r}.{nearest(what, known)}")
    chunks = [trajectory.chunk(number).gates()[what] for number in range(len(trajectory.borders))]
    return torch.cat(chunks, 1), 0.0 if program.gate_kinds[what] == "sigmoid" else -1.0
