"""Gate saturation as bars: low and high apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from recurra.inspection.figures import GREY, PALETTE, SMALL, WIDTH, legend_below, new_figure, style
from recurra.inspection.saturation import Saturation
from recurra.inspection.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show_saturation(entries: Sequence[Saturation], title: str = "", note: str = "") -> Shown:
    """The picture of `plot_saturation`, and its numbers as a table."""
    columns = ("layer", "direction", "gate", "kind", "low", "high", "saturated")
    rows = [(e.layer + 1, e.direction, e.gate, e.kind, e.low, e.high, e.share) for e in entries]
    return Shown(plot_saturation(entries, title, note), tables=[(columns, rows)])


def plot_saturation(entries: Sequence[Saturation], title: str = "", note: str = "") -> Figure:
    """The saturated share of every gate as bars: low and high apart.

    Args:
        entries: one per bar, at least one.
        title: which run, or nothing.
        note: which cells, of which size, on what.

    Returns:
        The figure.
    """
    with style():
        figure = new_figure(
            WIDTH,
            1.1 + 0.26 * len(entries),
            f"Gate saturation: {title}" if title else "Gate saturation",
            note,
        )
        axes = figure.add_subplot()
        places = np.arange(len(entries))
        low = np.array([100 * entry.low for entry in entries])
        high = np.array([100 * entry.high for entry in entries])
        axes.barh(places, low, color=PALETTE[0], label="low (sigmoid < 0.05, tanh < −0.95)", height=0.7)
        axes.barh(places, high, left=low, color=PALETTE[4], label="high (> 0.95)", height=0.7)
        for place, share in zip(places, low + high, strict=True):
            axes.annotate(f"{share:.1f}", (share, place), xytext=(4, 0), textcoords="offset points", va="center",
                          fontsize=SMALL, color=GREY)  # fmt: skip
        axes.set_yticks(places, [f"{entry.name}: {entry.gate}" for entry in entries])
        axes.set_ylim(len(entries) - 0.4, -0.6)
        axes.set_xlim(0, max(10.0, 1.12 * float((low + high).max(initial=0.0))))
        axes.set_xlabel("saturated values (% of all units, steps and rows)")
        axes.set_ylabel("gate")
        axes.grid(axis="y", visible=False)
        legend_below(figure, axes)
        return figure
