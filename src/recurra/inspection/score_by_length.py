"""Score by source length: how well long sentences fare (Bahdanau et al. 2015, figure 2).

N sentences, L ranges of length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recurra.errors import ConfigError


@dataclass(frozen=True)
class ScoreByLength:
    """Scores of some runs' outputs, by the length of the source.

    Attributes:
        metric: its name.
        higher_is_better: a larger score is the better one.
        unit: what lengths count, in the plural.
        ranges: `[L]`, the least and the largest length of each range, both within it.
        counts: `[L]`, how many sentences each range holds.
        means: `[L]`, their mean length.
        scores: by the run's label, `[L]` in percent.
    """

    metric: str
    higher_is_better: bool
    unit: str
    ranges: Sequence[tuple[int, int]]
    counts: Sequence[int]
    means: Sequence[float]
    scores: dict[str, list[float]]

    def as_dict(self) -> dict[str, Any]:
        """Ranges and scores as plain values, for JSON."""
        return asdict(self)


def length_ranges(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Ranges of length that hold about equal numbers of sentences, in order.

    Args:
        lengths: `[N]`, at least one.
        most: how many ranges, at least 1; where lengths repeat it may be fewer.

    Returns:
        The least and the largest length of each; sentences of one length are never parted.

    Raises:
        ConfigError: there is no length, or `most` is below 1.
    """
    if most < 1 or not lengths:
        raise ConfigError(
            f"ranges: expected at least 1 of at least 1 sentence, got {most} of {len(lengths)}."
        )
    counts = Counter(lengths)
    ranges: list[tuple[int, int]] = []
    left, held, first, last = len(lengths), 0, 0, 0
    for length, count in sorted(counts.items()):
        ideal = left / (most - len(ranges))
        without_is_nearer = held + count - ideal > ideal - held
        if held and without_is_nearer and len(ranges) < most - 1:
            ranges.append((first, last))
            left, held = left - held, 0
        first, last = first if held else length, length
        held += count
    return [*ranges, (first, last)]
