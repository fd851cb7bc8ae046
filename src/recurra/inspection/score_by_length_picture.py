"""Score by source length as a picture, a curve per run (Bahdanau et al. 2015, figure 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recurra.inspection.figures import (
    SMALL,
    legend_below,
    line_style,
    new_figure,
    style,
    text_width,
    thousands,
)
from recurra.inspection.score_by_length import ScoreByLength
from recurra.inspection.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 6.8  # inches
_PLOT = 5.6  # inches, about, of it between the axes


def show_score_by_length(scores: ScoreByLength, title: str = "") -> Shown:
    """Scores by length as a picture and a table, a column per run."""
    columns = (f"source length ({scores.unit})", "sentences", *scores.scores)
    rows = [
        (
            f"{low}-{high}" if low < high else str(low),
            count,
            *(each[index] for each in scores.scores.values()),
        )
        for index, ((low, high), count) in enumerate(zip(scores.ranges, scores.counts, strict=True))
    ]
    note = f"{scores.metric}, {_better(scores)} is better"
    figure = plot_score_by_length(scores, title)
    return Shown(figure, tables=[(columns, rows)], notes=[note], record=scores.as_dict())


def plot_score_by_length(scores: ScoreByLength, title: str = "") -> Figure:
    """Draw a curve per run, each range at its mean length, over the number of sentences in each range.

    Args:
        scores: of at least one run over at least one range.
        title: which runs and pairs; it may be empty.

    Returns:
        The figure.
    """
    heading = "Score by source length"
    with style():
        more = 0.07 * len(scores.scores)
        figure = new_figure(_WIDTH, 4.2 + more, f"{heading}: {title}" if title else heading)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        for index, (label, values) in enumerate(scores.scores.items()):
            top.plot(scores.means, values, marker="o", markersize=3.5, label=label, **line_style(index))
        top.set_ylabel(f"{scores.metric.replace('_', ' ')} (%, {_better(scores)} is better)")
        top.set_ylim(bottom=0)
        legend_below(figure, top)
        _draw_counts(bottom, scores)
        bottom.set(ylabel="sentences (n)", xlabel=f"source length ({scores.unit})")
        bottom.grid(axis="x", visible=False)
        thousands(bottom.yaxis)
        figure.align_ylabels()
        return figure


def _draw_counts(axes: Axes, scores: ScoreByLength) -> None:
    """A bar per range, with its number where there is room for it."""
    starts = [low - 0.5 for low, _ in scores.ranges]
    widths = [high - low + 1 for low, high in scores.ranges]
    axes.bar(starts, scores.counts, widths, align="edge", color="#C9D3DC", edgecolor="white")
    per_inch = (starts[-1] + widths[-1] - starts[0]) / _PLOT
    free = float("-inf")
    for start, wide, count in zip(starts, widths, scores.counts, strict=True):
        middle, half = start + wide / 2, per_inch * (text_width(f"{count:,}", SMALL) / 2 + 0.04)
        if middle - half > free:
            axes.text(middle, count, f"{count:,}", ha="center", va="bottom", fontsize=SMALL)
            free = middle + half
    axes.set_ylim(0, 1.35 * max(scores.counts))


def _better(scores: ScoreByLength) -> str:
    return "higher" if scores.higher_is_better else "lower"
