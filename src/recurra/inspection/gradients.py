"""How far gradients reach back: the size of the derivative of an output by the states before it.

For each layer and direction, h_t is the layer's output at step t and s_k all its states after step k, side
by side. Measured is the Frobenius norm of the Jacobian ∂h_t/∂s_k [H, S·H], k ≤ t, the mean over the rows of
the batch, divided by its value at lag 0, which is that of [I 0 ... 0]: √H. So lag 0 is 1, whatever the width.
A norm that falls with the lag t - k is the vanishing gradient, one that grows the exploding gradient
(Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).

Vectors q_1 ... q_P at the output are taken back through time, step by step, and their lengths recorded:
‖J‖² = H/P Σ_p ‖q_pᵀ J‖² for P orthonormal vectors. With P = H this is exact; with fewer, drawn at random, an
unbiased estimate of ‖J‖² (Hutchinson 1990) whose standard error is known. Lengths are kept as logarithms and
the vectors rescaled at every step, so that none overflows. A gradient under 1e-12 is followed no further and
counts as 0 from the next lag on.

B batch, T time, H hidden, S number of states, E output steps, L lags, P probes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.errors import ConfigError, ShapeError
from recurra.inspection.saturation import Saturation, clip_rate, saturation
from recurra.inspection.trajectory import Trajectory, trajectories
from recurra.inspection.walk import Walk

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent

Array = NDArray[Any]

VANISHED = 0.01  # of the value at lag 0
EXPLODED = 100.0  # times the value at lag 0

FLOOR = 1e-12  # of the value at lag 0

_BUDGET = 4e11  # multiplications and additions in the matrix products: some ten seconds on two cores
_EVERY_STEP = 1000  # up to this length every output step is taken, if the work allows it
_MANY_STEPS, _FEW_STEPS = 256, 32
_FEWEST_PROBES = 16
_PILOT_STEPS, _PILOT_PROBES = 4, 8
_GROUP_ELEMENTS = 800_000  # of the vectors taken back at once, so that they stay in the cache


@dataclass(frozen=True)
class GradientFlow:
    """What was measured of one direction of one layer.

    Attributes:
        layer: counted from 0.
        direction: "forward" or "backward".
        hidden_size: H.
        probes: vectors P per Jacobian; H of them make it exact.
        length: the number of steps T of the sequence.
        output_steps: the steps t from which gradients were taken back, `[E]`, rising, counted from 0.
        log10_norms: log10 of the normalised norm at lag 0, 1, ..., `[E, L]`; NaN before the sequence starts.
        relative_errors: standard error over the norm, `[E, L]`; 0 where exact.
    """

    layer: int
    direction: str
    hidden_size: int
    probes: int
    length: int
    output_steps: Array
    log10_norms: Array
    relative_errors: Array

    @property
    def name(self) -> str:
        """As people say it, layers counted from 1: "layer 1", or "layer 1 backward"."""
        return f"layer {self.layer + 1}" + (" backward" if self.direction == "backward" else "")

    @property
    def exact(self) -> bool:
        """Whether the Jacobians are exact, not estimated from probes."""
        return self.probes == self.hidden_size

    @property
    def method(self) -> str:
        """How it was measured, in words."""
        steps = len(self.output_steps)
        where = "every output step" if steps == self.length else f"{steps} of {self.length:,} output steps"
        how = "exact Jacobians" if self.exact else f"estimated from {self.probes} random probes per Jacobian"
        return f"{how}, {where}"

    def curve(self) -> tuple[Array, Array, Array]:
        """The mean over the output steps which reach back that far, by lag.

        Returns:
            log10 of the mean norm `[L]`; the relative standard error of that mean from the probes `[L]`
            (0 where exact); the number of output steps in it `[L]`.
        """
        held = ~np.isnan(self.log10_norms)
        counts = held.sum(0)
        logs = np.where(held, self.log10_norms, -np.inf)
        highest = logs.max(0)
        shift = np.where(np.isfinite(highest), highest, 0.0)
        weights = 10.0 ** (logs - shift)  # [E, L]
        totals = weights.sum(0)
        with np.errstate(divide="ignore"):
            mean = np.log10(totals) + shift - np.log10(counts)
        errors = np.sqrt(((weights * np.where(held, self.relative_errors, 0.0)) ** 2).sum(0))
        return mean, errors / np.where(totals > 0, totals, 1.0), counts


@dataclass(frozen=True)
class Verdict:
    """A layer's gradient flow in words.

    Attributes:
        kind: "vanishing", "exploding" or "holding".
        lag: the first lag at which the curve is under 1 % (vanishing: the effective memory in steps) or over
            100 times (exploding) its start; None when holding.
        text: one sentence.
    """

    kind: str
    lag: int | None
    text: str


def measure(
    rnn: Recurrent,
    x: Tensor,
    output_steps: Sequence[int] | int | None = None,
    probes: int | None = None,
    max_lag: int | None = None,
    seed: int = 0,
) -> list[GradientFlow]:
    """Measure ‖∂h_t/∂s_k‖ of every direction of every layer along `x`, in evaluation mode.

    Args:
        rnn: the layers; they are left as they are.
        x: `[B, T, I]`, T at least 2, every row T long.
        output_steps: the steps t to start from, 0 to T - 1, or how many of them, spread evenly with the last
            among them; None takes all, 256 or 32 of them, as many as the work allows.
        probes: vectors per Jacobian, 1 to H (more than H count as H: exact); None is exact where the work
            allows it, otherwise at least 16.
        max_lag: how many steps to go back, at least 1; None goes back to step 0.
        seed: of the random probes.

    Returns:
        One measurement per layer and direction, the lowest layer first.

    Raises:
        ShapeError: `x` does not fit, is shorter than 2 steps, or a layer's states overflow.
        ConfigError: `output_steps`, `probes` or `max_lag` is out of range.
    """
    if x.ndim == 3 and x.shape[1] < 2:
        raise ShapeError(f"x: expected at least 2 steps to look back over, got {x.shape[1]}.")
    for name, value in (("probes", probes), ("max_lag", max_lag)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}: expected at least 1, got {value}.")
    found = trajectories(rnn, x)
    length = x.shape[1]
    lags = length if max_lag is None else min(max_lag + 1, length)
    generator = torch.Generator().manual_seed(seed)
    wanted = None if output_steps is None else _chosen_steps(length, output_steps)
    if wanted is None or probes is None:
        pilot = [
            _measure_one(each, _spread(length, _PILOT_STEPS), _PILOT_PROBES, lags, generator)
            for each in found
        ]
        wanted, probes = _plan(found, pilot, wanted, probes)
    return [_measure_one(each, wanted, probes, lags, generator) for each in found]


def verdict(flow: GradientFlow) -> Verdict:
    """Say whether the mean curve falls under 1 % of its start, grows over 100 times it, or neither.

    The first of the two to happen decides. The bounds are symmetric: a factor of 100 either way.
    """
    curve, errors, _ = flow.curve()
    out = np.flatnonzero((curve < math.log10(VANISHED)) | (curve > math.log10(EXPLODED)))
    if not len(out):
        low, high = 10.0 ** curve.min(), 10.0 ** curve.max()
        text = (
            f"{flow.name}: holding; the derivative stays between {low:.3g} and {high:.3g} times its start "
            f"over all {len(curve) - 1:,} lags measured"
        )
        return Verdict("holding", None, text + _uncertainty(flow, float(errors.max())))
    lag = int(out[0])
    unsure = _uncertainty(flow, float(errors[lag]))
    steps = f"{lag:,} step{'s' if lag > 1 else ''}"
    if curve[lag] < 0:
        text = f"vanishing; the derivative falls under 1 % of its start after {steps}: the effective memory"
        return Verdict("vanishing", lag, f"{flow.name}: {text}{unsure}")
    peak = int(curve.argmax())
    text = (
        f"exploding; the derivative grows beyond 100 times its start after {steps}, "
        f"to {_power_of_ten(curve[peak])} times at lag {peak:,}"
    )
    return Verdict("exploding", lag, f"{flow.name}: {text}{unsure}")


@dataclass(frozen=True)
class Report:
    """What `inspect_gradients` found.

    Attributes:
        flows: one per layer and direction.
        verdicts: one per flow.
        saturations: one per layer, direction and gate.
        clip_rate: the share in [0, 1] of a run's updates that were clipped, or None where it is not known.
        files: the pictures and tables that were written.
    """

    flows: list[GradientFlow]
    verdicts: list[Verdict]
    saturations: list[Saturation]
    clip_rate: float | None
    files: list[Path]

    def lines(self) -> list[str]:
        """The report as text, the verdicts last."""
        found = [f"measured: {method}" for method in dict.fromkeys(flow.method for flow in self.flows)]
        found += [
            f"layer {e.layer + 1}{' backward' if e.direction == 'backward' else ''} {e.gate}: "
            f"{100 * e.share:.1f} % saturated ({100 * e.low:.1f} % low, {100 * e.high:.1f} % high)"
            for e in self.saturations
        ]
        if self.clip_rate is not None:
            found.append(f"clip rate: {100 * self.clip_rate:.1f} % of the updates")
        return found + [each.text for each in self.verdicts]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "layers": [
                {
                    "layer": flow.layer + 1,
                    "direction": flow.direction,
                    "verdict": found.kind,
                    "lag": found.lag,
                    "text": found.text,
                    "method": flow.method,
                }
                for flow, found in zip(self.flows, self.verdicts, strict=True)
            ],
            "saturation": [asdict(each) | {"layer": each.layer + 1} for each in self.saturations],
            "clip_rate": self.clip_rate,
            "files": [str(path) for path in self.files],
        }


def inspect_gradients(
    rnn: Recurrent,
    x: Tensor,
    folder: str | Path,
    metrics: Sequence[Mapping[str, Any]] = (),
    title: str = "",
    output_steps: Sequence[int] | int | None = None,
    probes: int | None = None,
    max_lag: int | None = None,
    seed: int = 0,
) -> Report:
    """Measure gradient flow and gate saturation along `x`, write pictures and tables, and judge.

    Args:
        rnn: the layers; they are left as they are.
        x: `[B, T, I]`, T at least 2, every row T long.
        folder: where the files go; made if it is missing, earlier files of the same names are replaced.
        metrics: the lines of a run's `metrics.jsonl`, for the clip rate.
        title: of the pictures, such as the run's name.
        output_steps, probes, max_lag, seed: as in `measure`.

    Returns:
        The report.

    Raises:
        ShapeError: `x` does not fit, is shorter than 2 steps, or a layer's states overflow.
        ConfigError: `output_steps`, `probes` or `max_lag` is out of range.
    """
    from recurra.inspection.gradient_pictures import save_pictures

    flows = measure(rnn, x, output_steps, probes, max_lag, seed)
    saturations = saturation(rnn, x)
    files = save_pictures(flows, saturations, Path(folder), title)
    return Report(flows, [verdict(flow) for flow in flows], saturations, clip_rate(metrics), files)


def _uncertainty(flow: GradientFlow, error: float) -> str:
    return "." if flow.exact else f" (standard error ±{100 * error:.0f} % of the value there)."


def _power_of_ten(log10: float) -> str:
    """A number given by its logarithm, which may be too large for a float."""
    if not math.isfinite(log10):
        return "infinitely many"
    return f"{10.0**log10:.3g}" if log10 < 4 else f"{10.0 ** (log10 % 1):.1f}e+{math.floor(log10)}"


def _plan(
    found: Sequence[Trajectory], pilot: Sequence[GradientFlow], wanted: list[int] | None, probes: int | None
) -> tuple[list[int], int]:
    """As many output steps, then as many probes per Jacobian, as the work allows (more than H mean H).

    Args:
        pilot: a rough measurement, which tells how far gradients reach before they are lost.
        wanted: the output steps, where they are given.
        probes: the number of probes, where it is given.
    """
    length, widest = found[0].steps, max(each.hidden_size for each in found)

    def work(steps: Sequence[int], count: int) -> float:
        total = 0.0
        for each, rough in zip(found, pilot, strict=True):
            reach = int(np.isfinite(rough.log10_norms).sum(1).max())
            hops = sum(min(step, reach) for step in steps) * each.inputs.shape[0]
            weight = each.parameters.get("hidden_weight")
            total += (
                2.0
                * hops
                * min(count, each.hidden_size)
                * (each.hidden_size if weight is None else weight.numel())
            )
        return total

    if wanted is None:
        many = list(range(length)) if length <= _EVERY_STEP else _spread(length, _MANY_STEPS)
        wanted = many if work(many, probes or widest) <= _BUDGET else _spread(length, _FEW_STEPS)
    if probes is None:
        affordable = int(widest * _BUDGET / max(work(wanted, widest), 1.0))
        probes = min(max(affordable, _FEWEST_PROBES), widest)
    return wanted, probes


def _chosen_steps(length: int, output_steps: Sequence[int] | int) -> list[int]:
    steps = _spread(length, output_steps) if isinstance(output_steps, int) else sorted(set(output_steps))
    if not steps or steps[0] < 0 or steps[-1] >= length:
        raise ConfigError(
            f"output_steps: expected how many, at least 1, or steps from 0 to {length - 1}, got {output_steps!r}."
        )
    return steps


def _spread(length: int, count: int) -> list[int]:
    """`count` steps of 0 ... length - 1, evenly, the last one among them."""
    count = min(count, length)
    return [round((index + 1) * length / count) - 1 for index in range(count)]


def _measure_one(
    trajectory: Trajectory, steps: Sequence[int], probes: int, lags: int, generator: torch.Generator
) -> GradientFlow:
    size, rows = trajectory.hidden_size, trajectory.inputs.shape[0]
    probes = min(probes, size)
    backward = trajectory.direction == "backward"
    positions = sorted(trajectory.steps - 1 - step for step in steps) if backward else list(steps)
    logs = np.full((len(positions), lags), np.nan)
    errors = np.full((len(positions), lags), np.nan)
    width = max(1, _GROUP_ELEMENTS // (probes * rows * size * len(trajectory.program.states)))
    for first in range(0, len(positions), width):
        group = slice(first, first + width)
        starts = _starts(trajectory, positions[group], probes, generator)
        walk = Walk(positions[group], lags, starts, math.log10(FLOOR))
        walk.run(trajectory)
        logs[group], errors[group] = walk.logs, walk.errors
    order = slice(None, None, -1 if backward else 1)
    return GradientFlow(
        layer=trajectory.layer,
        direction=trajectory.direction,
        hidden_size=size,
        probes=probes,
        length=trajectory.steps,
        output_steps=np.array(steps),
        log10_norms=logs[order],
        relative_errors=errors[order],
    )


def _starts(
    trajectory: Trajectory, positions: Sequence[int], probes: int, generator: torch.Generator
) -> Tensor:
    """P orthonormal vectors for each output step and row, `[E, P, B, H]`; the identity where P = H."""
    size, like = trajectory.hidden_size, trajectory.inputs
    shape = (len(positions), probes, like.shape[0], size)
    if probes == size:
        return torch.eye(size, dtype=like.dtype, device=like.device)[None, :, None].expand(shape)
    drawn = torch.randn(
        len(positions), like.shape[0], size, probes, generator=generator, dtype=torch.float64, device="cpu"
    )
    orthonormal, _ = torch.linalg.qr(drawn)  # [E, B, H, P]
    return orthonormal.permute(0, 3, 1, 2).to(like)
