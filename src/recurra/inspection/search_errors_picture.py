"""Errors of the model and of the search as a picture: a bar per beam size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recurra.errors import ConfigError
from recurra.inspection.figures import GREY, PALETTE, SMALL, legend_below, new_figure, style
from recurra.inspection.search_errors import KINDS, Kind, SearchErrors
from recurra.inspection.shown import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 6.8  # inches
_NARROWEST = 7.0  # percent: a narrower part of a bar has no room for its number
_COLOURS: dict[Kind, tuple[str, str]] = {
    "equal": (PALETTE[2], "white"),
    "model": (PALETTE[4], "black"),
    "search": (PALETTE[1], "white"),
}  # of the bar, and of the number on it


def show_search_errors(errors: Sequence[SearchErrors], title: str = "", examples: int = 3) -> Shown:
    """Errors by beam size as a picture and a table, with examples in the record.

    Args:
        errors: one per beam size, at least one, each with at least one output.
        title: which run and pairs; it may be empty.
        examples: how many of each kind of error the record has.

    Raises:
        ConfigError: there is nothing to draw.
    """
    figure = plot_search_errors(errors, title)
    columns = ("beam size", "equal", "model errors", "search errors", errors[0].metric)
    rows = [(one.beam_size, *(one.count(kind) for kind in KINDS), one.score) for one in errors]
    record = {"beam_sizes": [one.as_dict(examples) for one in errors]}
    return Shown(figure, tables=[(columns, rows)], record=record)


def plot_search_errors(errors: Sequence[SearchErrors], title: str = "") -> Figure:
    """Draw a bar per beam size: the share of the outputs that is right, the model's fault and the search's.

    Args:
        errors: one per beam size, at least one, each with at least one output.
        title: which run and pairs; it may be empty.

    Raises:
        ConfigError: there is nothing to draw.
    """
    if not errors or not all(one.comparisons for one in errors):
        raise ConfigError("errors: expected at least one beam size, and outputs for each; got none.")
    heading = "Errors of the model and of the search"
    with style():
        figure = new_figure(_WIDTH, 1.1 + 0.42 * len(errors), f"{heading}: {title}" if title else heading)
        axes = figure.add_subplot()
        for place, one in enumerate(errors):
            left = 0.0
            for kind, name in KINDS.items():
                share = 100 * one.count(kind) / len(one.comparisons)
                colour, ink = _COLOURS[kind]
                axes.barh(place, share, left=left, height=0.62, color=colour, label=None if place else name)
                if share >= _NARROWEST:
                    axes.text(left + share / 2, place, f"{share:.1f}", ha="center", va="center", color=ink,
                              fontsize=SMALL)  # fmt: skip
                left += share
            score = f"{one.metric.replace('_', ' ')} {one.score:.2f}"
            axes.text(101, place, score, va="center", color=GREY, fontsize=SMALL)
        axes.set_yticks(range(len(errors)), [str(one.beam_size) for one in errors])
        axes.set_ylim(len(errors) - 0.5, -0.5)
        axes.set(
            xlim=(0, 100), ylabel="beam size", xlabel=f"share of {len(errors[0].comparisons):,} outputs (%)"
        )
        axes.grid(axis="y", visible=False)
        legend_below(figure, axes)
        return figure
