"""Attention as numbers: two sentences and the weights of one on the other.

T target length, Tx source length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from recurra.errors import ShapeError
from recurra.inspection.label_fonts import visible


@dataclass(frozen=True)
class Alignment:
    """Two sentences and the attention of one to the other.

    Attributes:
        source: a label per symbol, Tx of them.
        target: a label per symbol, T of them.
        weights: `[T, Tx]` in [0, 1]; row t is what target symbol t was predicted from.
        unknown: numbers of the source symbols, from 0, that the model does not know.
        title: what is shown.
        model: whose attention it is: the cell, its size and how the attention is wired.

    Raises:
        ShapeError: there is no symbol, the weights have another shape, or they are not in [0, 1].
    """

    source: Sequence[str]
    target: Sequence[str]
    weights: NDArray[Any]
    unknown: frozenset[int] = frozenset()
    title: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.target), len(self.source))
        if self.weights.shape != expected or 0 in expected:
            raise ShapeError(
                f"weights: expected {list(expected)} (target, source), at least one of each, "
                f"got {list(self.weights.shape)}."
            )
        # Sums of float32 may pass 1 by rounding; NaN fails both comparisons.
        if not ((self.weights >= 0) & (self.weights <= 1 + 1e-4)).all():
            raise ShapeError("weights: expected numbers from 0 to 1.")

    @property
    def labels(self) -> tuple[list[str], list[str]]:
        """What is written for each symbol of source and target: signs for what does not print."""
        return [visible(symbol) for symbol in self.source], [visible(symbol) for symbol in self.target]

    def as_dict(self) -> dict[str, Any]:
        """The sentences and weights as plain values, for JSON."""
        return {
            "title": self.title,
            "model": self.model,
            "source": list(self.source),
            "target": list(self.target),
            "unknown": sorted(self.unknown),
            "weights": self.weights.tolist(),
        }
