"""How often gates are saturated, and updates clipped: the two usual reasons for a gradient that stops.

A sigmoid gate counts as saturated under 0.05 (low) or over 0.95 (high), a tanh gate beyond ±0.95; there the
derivative is under a twentieth or a tenth of the unit slope. Gates of other kinds are not judged
(Karpathy, Johnson & Li 2015, section 4.2, with their thresholds of 0.1 and 0.9 drawn tighter).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from recurra.inspection.gradient_flow import layer_name
from recurra.inspection.trajectory import Trajectory, trajectories
from recurra.metrics.records import training

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent

BOUNDS = {"sigmoid": (0.05, 0.95), "tanh": (-0.95, 0.95)}


@dataclass(frozen=True)
class Saturation:
    """One gate of one direction of one layer, over all rows, steps and units.

    Attributes:
        layer: counted from 0.
        direction: "forward" or "backward".
        gate: its name.
        kind: "sigmoid" or "tanh".
        low: share in [0, 1] of its values under the lower bound.
        high: share in [0, 1] of its values over the upper bound.
        part: which recurrent layers of the model, such as "encoder"; nothing where it has only these.
    """

    layer: int
    direction: str
    gate: str
    kind: str
    low: float
    high: float
    part: str = ""

    @property
    def name(self) -> str:
        """The layer as people say it, counted from 1: "layer 1", or "encoder layer 1 backward"."""
        return layer_name(self.part, self.layer, self.direction)

    @property
    def share(self) -> float:
        """The share in [0, 1] of saturated values, low or high."""
        return self.low + self.high


def saturation(rnn: Recurrent, x: Tensor) -> list[Saturation]:
    """Measure the saturation of every sigmoid and tanh gate along `x`, in evaluation mode.

    Args:
        rnn: the layers; they are left as they are.
        x: `[B, T, I]`, every row T long.

    Returns:
        One entry per layer, direction and gate, in that order.

    Raises:
        ShapeError: `x` does not fit, or a layer's states overflow.
    """
    return [entry for trajectory in trajectories(rnn, x) for entry in saturation_along(trajectory)]


def saturation_along(trajectory: Trajectory) -> list[Saturation]:
    """The same for one direction of one layer that has been run already."""
    kinds = {gate: kind for gate, kind in trajectory.program.gate_kinds.items() if kind in BOUNDS}
    low, high = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0)
    for number in range(len(trajectory.borders)):
        for gate, values in trajectory.chunk(number).gates().items():
            if gate in kinds:
                lower, upper = BOUNDS[kinds[gate]]
                low[gate] += int((values < lower).sum())
                high[gate] += int((values > upper).sum())
    total = trajectory.inputs.shape[0] * trajectory.steps * trajectory.hidden_size
    return [
        Saturation(trajectory.layer, trajectory.direction, gate, kind, low[gate] / total, high[gate] / total)
        for gate, kind in kinds.items()
    ]


def clip_rate(records: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of a run's updates that were clipped.

    Args:
        records: the lines of `metrics.jsonl`; each holds the share in [0, 1] among the updates since the one of its
            kind before it under `clip_rate`, and the update's number under `step`.

    Returns:
        The share in [0, 1] over all updates that records tell of, or None where none does.
    """
    clipped, updates, before = 0.0, 0.0, 0.0
    for record in training(records):
        since, before = record["step"] - before, record["step"]
        if record.get("clip_rate") is not None:
            clipped += since * record["clip_rate"]
            updates += since
    return clipped / updates if updates else None
