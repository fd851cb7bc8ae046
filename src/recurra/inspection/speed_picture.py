"""The timings of `speed.py` as a picture: how many times as fast as its peer each cell is, shape by shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recurra.inspection.figures import (
    GREY,
    PALETTE,
    SMALL,
    legend_below,
    new_figure,
    plain_log,
    style,
)
from recurra.inspection.shown import Shown
from recurra.inspection.speed import Timing, geometric_mean, ratios

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What is shown of the timings: ours, its peer, and what the peer is.
PEERS = (
    ("generated", "torch", "PyTorch's own kernel"),
    ("generated", "loop", "an ordinary loop that calls the cell step by step"),
    ("generated", "reference", "the reference backend, a loop that takes the inputs' product out"),
    ("generated ragged", "torch packed", "PyTorch's kernel on a packed batch, rows of lengths 1 to T"),
)


_Row = tuple[str, list[float], str, str]
"""Name, times as fast by shape, colour, and what the peer is."""


def show_speed(timings: Sequence[Timing], title: str = "") -> Shown:
    """The picture of `plot_speed`, and every ratio by name."""
    return Shown(plot_speed(timings, title), record=ratios(timings))


def plot_speed(timings: Sequence[Timing], title: str = "") -> Figure:
    """Draw a row per cell and peer, a dot per shape, a bar at the geometric mean.

    Args:
        timings: of `time_cells`, at least one.
        title: what machine they are from.

    Returns:
        The figure.
    """
    rows = _rows(timings)
    heading = "Speed of a training step"
    shapes = ", ".join(dict.fromkeys(str(one.shape) for one in timings))
    note = f"Forward and backward, float32; a dot per shape, the bar and number their geometric mean; TxBxH: {shapes}"
    with style():
        figure = new_figure(7.2, 1.5 + 0.36 * len(rows), f"{heading}: {title}" if title else heading, note)
        axes = figure.add_subplot()
        for place, (_, values, colour, label) in enumerate(rows):
            known = label in axes.get_legend_handles_labels()[1]
            mean = geometric_mean(values)
            axes.barh(
                place, mean - 1, left=1, height=0.55, color=colour, alpha=0.3, label=None if known else label
            )
            axes.scatter(values, [place] * len(values), s=14, color=colour, zorder=3)
            axes.annotate(f"{mean:.1f}", (max(mean, *values), place), (6, 0), textcoords="offset points",
                          va="center", fontsize=SMALL, color=GREY)  # fmt: skip
        axes.axvline(1.0, color=GREY, linewidth=1.0)
        axes.set_xscale("log")
        every = [value for _, values, _, _ in rows for value in values]
        low, high = min(0.9, *every), max(1.1, *every)
        margin = (high / low) ** 0.08  # room for the numbers
        axes.set_xlim(low / margin**0.5, high * margin)
        plain_log(axes.xaxis)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("speed (times as fast as the peer)")
        axes.set_ylabel("cell")
        legend_below(figure, axes)
        return figure


def _rows(timings: Sequence[Timing]) -> list[_Row]:
    """A row for each cell and each peer that was timed with it."""
    rows = []
    for colour, (ours, theirs, label) in zip(PALETTE, PEERS, strict=False):
        for cell in dict.fromkeys(
            one.cell for one in timings if ours in one.seconds and theirs in one.seconds
        ):
            of_cell = [one.ratio(ours, theirs) for one in timings if one.cell == cell]
            suffix = ", ragged" if "ragged" in ours else ", reference" if theirs == "reference" else ""
            rows.append((f"{cell}{suffix}", of_cell, colour, label))
    return rows
