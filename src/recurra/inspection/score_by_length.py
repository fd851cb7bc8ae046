"""Score by source length, a curve per run: how well long sentences fare (Bahdanau et al. 2015, figure 2).

N sentences, L ranges of length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recurra.errors import ConfigError
from recurra.inspection.figures import line_style, new_figure, save_figure, style, thousands

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def save_score_by_length(scores: ScoreByLength, path: str | Path, title: str = "") -> Path:
    """Write the picture of `plot_score_by_length` as PNG."""
    return save_figure(plot_score_by_length(scores, title), path)


def plot_score_by_length(scores: ScoreByLength, title: str = "") -> Figure:
    """Draw a curve per run, each range at its mean length, over the number of sentences in each range."""
    with style():
        figure = new_figure(6.8, 4.4)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        for index, (label, values) in enumerate(scores.scores.items()):
            top.plot(scores.means, values, marker="o", markersize=3.5, label=label, **line_style(index))
        better = "higher" if scores.higher_is_better else "lower"
        top.set_ylabel(f"{scores.metric.replace('_', ' ')} ({better} is better)")
        top.set_ylim(bottom=0)
        top.set_title(title or "Score by source length")
        figure.legend(loc="outside lower left", ncols=3)
        starts = [low - 0.5 for low, _ in scores.ranges]
        widths = [high - low + 1 for low, high in scores.ranges]
        bottom.bar(starts, scores.counts, widths, align="edge", color="#C9D3DC", edgecolor="white")
        for start, wide, count in zip(starts, widths, scores.counts, strict=True):
            bottom.text(start + wide / 2, count, f"{count:,}", ha="center", va="bottom", fontsize=7)
        bottom.margins(y=0.25)
        bottom.set(ylabel="sentences", xlabel=f"source length ({scores.unit})")
        bottom.grid(axis="x", visible=False)
        thousands(bottom.yaxis)
        return figure
