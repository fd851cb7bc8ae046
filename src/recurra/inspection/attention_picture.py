"""Attention as a picture: what each symbol of a target was predicted from (Bahdanau et al. 2015, figure 3).

T target length, Tx source length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ShapeError
from recurra.inspection.figures import GREY, PALETTE, new_figure, save_figure, save_text, style
from recurra.inspection.label_fonts import LabelFonts, label_fonts, right_to_left, visible, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MOST = 120  # symbols of a side in the picture; the page has them all

_CELL = 0.27  # inches
_SHORT = 2  # letters; wider labels are slanted, and all are where most are wider
_LETTER = 0.085  # inches


@dataclass(frozen=True)
class Alignment:
    """Two sentences and the attention of one to the other.

    Attributes:
        source: a label per symbol, Tx of them.
        target: a label per symbol, T of them.
        weights: `[T, Tx]` in [0, 1]; row t is what target symbol t was predicted from.
        unknown: numbers of the source symbols, from 0, that the model does not know.
        title: what is shown.

    Raises:
        ShapeError: there is no symbol, the weights have another shape, or they are not in [0, 1].
    """

    source: Sequence[str]
    target: Sequence[str]
    weights: NDArray[Any]
    unknown: frozenset[int] = frozenset()
    title: str = ""

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


def save_attention(alignment: Alignment, path: str | Path) -> tuple[list[Path], str]:
    """Write the picture, and beside it a page, which shows every script that the browser has a font for.

    Args:
        alignment: sentences and weights.
        path: of the picture, ending in `.png`; the page has the same name with `.html`.

    Returns:
        Both files, and a note for the user on characters the picture lacks a font for, empty without any.
    """
    from recurra.inspection.attention_html import attention_page

    path = Path(path)
    fonts = label_fonts([*alignment.labels[0], *alignment.labels[1], alignment.title])
    files = [
        save_figure(plot_attention(alignment, fonts), path),
        save_text(attention_page(alignment), path.with_suffix(".html")),
    ]
    instead = f"{files[0].name} has numbers in place of those labels, {files[1].name} has the labels"
    return files, fonts.note(instead)


def plot_attention(alignment: Alignment, fonts: LabelFonts) -> Figure:
    """Draw the weights, target symbols downwards and source symbols across; a right-to-left source from the right.

    Args:
        alignment: sentences and weights; of a side longer than 120 symbols the first 120 are drawn, and the
            heading says so.
        fonts: for the labels; one that they cannot draw is replaced by its number.

    Returns:
        The figure, as large as the sentences need.
    """
    source, target = (fonts.written(side)[:MOST] for side in alignment.labels)
    heading = fonts.prose(_heading(alignment))
    with style():
        figure = new_figure(*_size(source, target, heading))
        axes = figure.add_subplot()
        image = axes.imshow(
            alignment.weights[: len(target), : len(source)], cmap=colour_map(), vmin=0, vmax=1, aspect="equal"
        )
        _draw_grid(axes, len(source), len(target))
        _write_labels(axes, source, target, fonts, right_to_left(alignment.source))
        for number in alignment.unknown:
            if number < len(source):
                axes.get_xticklabels()[number].set_color(PALETTE[1])
        weight = "bold" if len(fonts.families) == 1 else "normal"  # other fonts may come in one weight
        title = figure.suptitle(heading, x=0.01, ha="left", fontsize=10, weight=weight, family=fonts.families)
        title.set_parse_math(False)
        axes.set_xlabel("source (orange: not in the vocabulary)" if alignment.unknown else "source")
        axes.set_ylabel("target")
        _draw_scale(figure, axes, image)
        return figure


def colour_map() -> Any:
    """The colours of weights from 0 to 1: white to dark blue, the darkest not black."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("attention", ["white", "#9ecae9", PALETTE[0], "#00345c"])


def _size(source: Sequence[str], target: Sequence[str], heading: str) -> tuple[float, float]:
    """Width and height in inches of a figure with room for all labels."""
    beside, above = max(map(width, target)) * _LETTER, max(map(width, source)) * _LETTER
    over = 0.6 * width(source[-1]) * _LETTER  # slanted labels lean over their columns
    wide = max(0.7 + beside + _CELL * len(source) + over, 0.3 + 1.15 * _LETTER * width(heading), 3.6)
    return wide, 1.25 + 0.9 * above + _CELL * len(target)


def _heading(alignment: Alignment) -> str:
    longest = max(len(alignment.source), len(alignment.target))
    cut = f"the first {MOST} symbols of each side" if longest > MOST else ""
    return ", ".join(part for part in (alignment.title, cut) if part)


def _draw_grid(axes: Axes, columns: int, rows: int) -> None:
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(False)
    axes.grid(which="minor")
    axes.set_axisbelow(False)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write_labels(
    axes: Axes, source: Sequence[str], target: Sequence[str], fonts: LabelFonts, mirrored: bool
) -> None:
    """Label both sides; mirrored, the source runs from the right and the target's labels stand there."""
    look: dict[str, Any] = {"family": fonts.families, "parse_math": False}
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(len(source)), source, **look)
    axes.set_yticks(range(len(target)), target, **look)
    if mirrored:
        axes.invert_xaxis()
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
    wide = [width(text) > _SHORT for text in source]
    mostly = 2 * sum(wide) > len(wide)
    for label, is_wide in zip(axes.get_xticklabels(), wide, strict=True):
        if is_wide or mostly:
            side = "right" if mirrored else "left"
            label.set(rotation=-55 if mirrored else 55, ha=side, va="bottom", rotation_mode="anchor")
    axes.xaxis.label.set_color(GREY)
    axes.yaxis.label.set_color(GREY)


def _draw_scale(figure: Figure, axes: Axes, image: AxesImage) -> None:
    bar = figure.colorbar(image, ax=axes, location="bottom", fraction=0.03, pad=0.02, aspect=22, shrink=0.8)
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.5, 1])
    bar.ax.grid(False)
    bar.set_label("attention weight", color=GREY)
