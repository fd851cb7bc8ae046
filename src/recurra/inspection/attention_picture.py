"""Attention as a picture: what each symbol of a target was predicted from (Bahdanau et al. 2015, figure 3).

T target length, Tx source length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.inspection.alignment import Alignment
from recurra.inspection.attention_html import attention_page
from recurra.inspection.figures import (
    FAINT,
    GREY,
    PALETTE,
    SMALL,
    WIDEST,
    new_figure,
    sequential,
    shortened,
    style,
    text_width,
)
from recurra.inspection.label_fonts import LabelFonts, label_fonts, right_to_left
from recurra.inspection.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MOST = 52  # symbols of a side in the picture; the page has them all

_CELL = 0.27  # inches; smaller where a side is long
_LABEL = 1.7  # inches; longer labels are shortened
_SLANT = 55  # degrees
_UPRIGHT_BELOW = 0.175  # inches between labels at which slanted ones would touch


@dataclass(frozen=True)
class _Labels:
    """What is written along both sides, how wide it is in inches, and how large a cell is."""

    source: list[str]
    target: list[str]
    over: list[float]
    beside: list[float]
    cell: float

    @property
    def turned(self) -> list[bool]:
        """Whether each of the source's labels is turned: those wider than a cell, and all where most are."""
        wide = [each > self.cell - 0.04 for each in self.over]
        return [True] * len(wide) if 2 * sum(wide) > len(wide) else wide

    @property
    def angle(self) -> int:
        """By how much, in degrees."""
        return _SLANT if self.cell >= _UPRIGHT_BELOW else 90


def show_attention(alignment: Alignment) -> Shown:
    """The weights as a picture, and as a page, which shows every script that the browser has a font for.

    Args:
        alignment: sentences and weights.

    Returns:
        Picture and page, and a note on characters that the picture lacks a font for.
    """
    fonts = label_fonts([*alignment.labels[0], *alignment.labels[1], alignment.title])
    note = fonts.note("the picture has numbers in place of those labels, the page has the labels")
    return Shown(
        plot_attention(alignment, fonts),
        attention_page(alignment),
        notes=[note] if note else [],
        record=alignment.as_dict(),
    )


def plot_attention(alignment: Alignment, fonts: LabelFonts) -> Figure:
    """Draw the weights, target symbols downwards and source symbols across; a right-to-left source from the right.

    Args:
        alignment: sentences and weights; of a side longer than 52 symbols the first 52 are drawn, and the
            heading says so.
        fonts: for the labels; one that they cannot draw is replaced by its number.

    Returns:
        The figure, as large as the sentences need and at most as wide as any figure.
    """
    with style():
        labels = _labels(alignment, fonts)
        rows, columns = len(labels.target), len(labels.source)
        figure = new_figure(*_size(labels), _heading(alignment), _note(alignment))
        axes = figure.add_subplot()
        image = axes.imshow(
            alignment.weights[:rows, :columns], cmap=sequential(), vmin=0, vmax=1, aspect="equal"
        )
        _draw_grid(axes, columns, rows)
        _write_labels(axes, labels, fonts, right_to_left(alignment.source))
        for number in alignment.unknown:
            if number < columns:
                axes.get_xticklabels()[number].set_color(PALETTE[1])
        axes.set_xlabel("source", color=GREY)
        axes.set_ylabel("target", color=GREY)
        _draw_scale(figure, axes, image)
        return figure


def _labels(alignment: Alignment, fonts: LabelFonts) -> _Labels:
    source, target = (
        [shortened(label, _LABEL, SMALL, families=fonts.families) for label in fonts.written(side)[:MOST]]
        for side in alignment.labels
    )
    over = [text_width(label, SMALL, families=fonts.families) for label in source]
    beside = [text_width(label, SMALL, families=fonts.families) for label in target]
    room = WIDEST - 1.0 - max(beside) - (0.6 * over[-1] if max(over) > 0.1 else 0.0)
    return _Labels(source, target, over, beside, min(_CELL, room / len(source)))


def _size(labels: _Labels) -> tuple[float, float]:
    """Width and height in inches of a figure with room for all labels."""
    turned = np.radians(labels.angle)
    reach = [wide if turn else 0.0 for wide, turn in zip(labels.over, labels.turned, strict=True)]
    leaning = float(np.cos(turned)) * reach[-1]  # over the last column and beyond
    wide = 0.7 + max(labels.beside) + labels.cell * len(labels.source) + leaning
    high = 1.25 + float(np.sin(turned)) * max(reach) + labels.cell * len(labels.target)
    return max(wide, 3.6), high


def _heading(alignment: Alignment) -> str:
    longest = max(len(alignment.source), len(alignment.target))
    cut = f"the first {MOST} symbols of each side" if longest > MOST else ""
    return ", ".join(part for part in (alignment.title or "Attention", cut) if part)


def _note(alignment: Alignment) -> str:
    unknown = "orange: not in the source vocabulary" if alignment.unknown else ""
    note = "; ".join(part for part in (alignment.model, unknown) if part)
    return note[:1].upper() + note[1:]


def _draw_grid(axes: Axes, columns: int, rows: int) -> None:
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(False)
    axes.grid(which="minor", color=FAINT)
    axes.set_axisbelow(False)
    axes.tick_params(which="both", length=0, labelsize=SMALL)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _write_labels(axes: Axes, labels: _Labels, fonts: LabelFonts, mirrored: bool) -> None:
    """Label both sides; mirrored, the source runs from the right and the target's labels stand there."""
    look: dict[str, Any] = {"family": fonts.families, "parse_math": False}
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(len(labels.source)), labels.source, **look)
    axes.set_yticks(range(len(labels.target)), labels.target, **look)
    if mirrored:
        axes.invert_xaxis()
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
    turn: dict[str, Any] = {"rotation": 90, "ha": "left", "va": "center"}
    if labels.angle != 90:
        turn = {
            "rotation": -_SLANT if mirrored else _SLANT,
            "ha": "right" if mirrored else "left",
            "va": "bottom",
        }
    for label, turned in zip(axes.get_xticklabels(), labels.turned, strict=True):
        if turned:
            label.set(rotation_mode="anchor", **turn)


def _draw_scale(figure: Figure, axes: Axes, image: AxesImage) -> None:
    bar = figure.colorbar(image, ax=axes, location="bottom", fraction=0.03, pad=0.02, aspect=22, shrink=0.8)
    bar.outline.set_visible(False)
    bar.set_ticks([0, 0.5, 1])
    bar.ax.grid(False)
    bar.set_label("attention weight (0 to 1)", color=GREY)
