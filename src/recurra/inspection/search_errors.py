"""Whose fault a wrong output is: the model's, which prefers it to the reference, or the search's, which missed it.

An output that differs from all its references is a model error where its score is at least that of each of
them, and a search error where the model scores a reference higher, which the search could then have found
(or, longer than the limit, was not allowed to).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recurra.errors import ConfigError
from recurra.inspection.figures import GREY, PALETTE, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["equal", "model", "search"]

KINDS: dict[Kind, tuple[str, str]] = {
    "equal": ("equal to a reference", PALETTE[2]),
    "model": ("model error", PALETTE[4]),
    "search": ("search error", PALETTE[1]),
}
"""Name and colour of each kind, in the order of the bars."""


@dataclass(frozen=True)
class Comparison:
    """An output beside the reference that the model scores highest.

    Attributes:
        source, output, reference: their text.
        output_score, reference_score: by which the search ranks.
        equal: the output is one of the references, symbol for symbol.
    """

    source: str
    output: str
    reference: str
    output_score: float
    reference_score: float
    equal: bool

    @property
    def kind(self) -> Kind:
        """What the output is."""
        if self.equal:
            return "equal"
        return "search" if self.reference_score > self.output_score else "model"


@dataclass(frozen=True)
class SearchErrors:
    """The outputs of one beam size.

    Attributes:
        beam_size: how many hypotheses lived at a time.
        comparisons: one per source.
        metric: the name of the metric below.
        score: of the outputs, in percent.
    """

    beam_size: int
    comparisons: Sequence[Comparison]
    metric: str
    score: float

    def count(self, kind: Kind) -> int:
        """How many outputs are of a kind."""
        return sum(one.kind == kind for one in self.comparisons)

    def examples(self, kind: Kind, most: int) -> list[Comparison]:
        """Up to `most` outputs of a kind, those first whose scores differ most from their reference's."""
        found = [one for one in self.comparisons if one.kind == kind]
        return sorted(found, key=lambda one: -abs(one.output_score - one.reference_score))[:most]


def save_search_errors(errors: Sequence[SearchErrors], path: str | Path, title: str = "") -> Path:
    """Write the picture of `plot_search_errors` as PNG."""
    return save_figure(plot_search_errors(errors, title), path)


def plot_search_errors(errors: Sequence[SearchErrors], title: str = "") -> Figure:
    """Draw a bar per beam size: the share of the outputs that is right, the model's fault and the search's.

    Args:
        errors: one per beam size, at least one, each with at least one output.
        title: what is shown.

    Raises:
        ConfigError: there is nothing to draw.
    """
    if not errors or not all(one.comparisons for one in errors):
        raise ConfigError("errors: expected at least one beam size, and outputs for each; got none.")
    with style():
        figure = new_figure(6.8, 1.5 + 0.42 * len(errors))
        axes = figure.add_subplot()
        for place, one in enumerate(errors):
            left = 0.0
            for kind, (name, colour) in KINDS.items():
                share = 100 * one.count(kind) / len(one.comparisons)
                axes.barh(place, share, left=left, height=0.62, color=colour, label=None if place else name)
                if share >= 6:
                    ink = "black" if kind == "model" else "white"
                    axes.text(
                        left + share / 2,
                        place,
                        f"{share:.1f}",
                        ha="center",
                        va="center",
                        color=ink,
                        fontsize=8,
                    )
                left += share
            score = f"{one.metric.replace('_', ' ')} {one.score:.2f}"
            axes.text(101, place, score, va="center", color=GREY, fontsize=8)
        axes.set_yticks(range(len(errors)), [str(one.beam_size) for one in errors])
        axes.invert_yaxis()
        axes.set(
            xlim=(0, 100), ylabel="beam size", xlabel=f"share of {len(errors[0].comparisons):,} outputs (%)"
        )
        axes.grid(axis="y", visible=False)
        axes.set_title(title)
        figure.legend(loc="outside lower left", ncols=3)
        return figure
