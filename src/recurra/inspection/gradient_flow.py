"""How far gradients reach back, as data and in words: what `gradients.py` measures.

H hidden, T time, E output steps, L lags, P probes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.contracts import DIRECTIONS

Array = NDArray[Any]

VANISHED = 0.01  # of the value at lag 0
EXPLODED = 100.0  # times the value at lag 0


def layer_name(part: str, layer: int, direction: str) -> str:
    """How people name one direction of a layer, layers counted from 1: "layer 1", "encoder layer 2 backward"."""
    backward = "" if direction == DIRECTIONS[0] else direction
    return " ".join(word for word in (part, f"layer {layer + 1}", backward) if word)


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
        cell: the name of the cell's class, or nothing.
        part: which recurrent layers of the model, such as "encoder"; nothing where it has only these.
        rows: which rows were measured on where they were ragged, in words, or nothing.
    """

    layer: int
    direction: str
    hidden_size: int
    probes: int
    length: int
    output_steps: Array
    log10_norms: Array
    relative_errors: Array
    cell: str = ""
    part: str = ""
    rows: str = ""

    @property
    def name(self) -> str:
        """As people say it, layers counted from 1: "layer 1", or "encoder layer 1 backward"."""
        return layer_name(self.part, self.layer, self.direction)

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
        return ", ".join(part for part in (how, where, self.rows) if part)

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


def _uncertainty(flow: GradientFlow, error: float) -> str:
    return "." if flow.exact else f" (standard error ±{100 * error:.0f} % of the value there)."


def _power_of_ten(log10: float) -> str:
    """A number given by its logarithm, which may be too large for a float."""
    if not math.isfinite(log10):
        return "infinitely many"
    return f"{10.0**log10:.3g}" if log10 < 4 else f"{10.0 ** (log10 % 1):.1f}e+{math.floor(log10)}"
