"""Coloured text as a picture: the most interesting units, one block of text for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from recurra.errors import ConfigError
from recurra.inspection.figures import GREY, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Outline

    from recurra.inspection.gates import Activations

FONT = "DejaVu Sans Mono"  # comes with matplotlib
MOST_LINES = 24  # per unit; the page in HTML has the whole text

_ADVANCE = 0.602  # width of a character of FONT over its size
_POINTS = 8.0
_LINE_HEIGHT = 1.7  # over the size
_SIGNS = {"\n": "↵", "\t": "→", "\r": "←"}


@dataclass(frozen=True)
class Cell:
    """One symbol on the page: which one, where (characters from the left, lines from the top), what is shown."""

    index: int
    line: int
    column: int
    text: str


def plot_gates(activations: Activations, units: int = 8, columns: int = 96) -> Figure:
    """Draw the text once per unit, for the units that vary most.

    Args:
        activations: symbols, values and their scale.
        units: how many units, at least 1; all of them where there are fewer.
        columns: characters per line, at least 10.

    Returns:
        The figure; a text longer than 24 lines is cut there, and the heading says so.

    Raises:
        ConfigError: `units` or `columns` is out of range.
    """
    if units < 1 or columns < 10:
        raise ConfigError(f"units and columns: expected at least 1 and 10, got {units} and {columns}.")
    cells = [cell for cell in layout(activations.symbols, columns) if cell.line < MOST_LINES]
    lines = cells[-1].line + 1
    chosen = activations.by_interest()[:units]
    inch_wide, inch_high = columns * _ADVANCE * _POINTS / 72, lines * _LINE_HEIGHT * _POINTS / 72
    margin, heading, top, bottom = 0.25, 0.3, 0.45, 0.65
    height = top + len(chosen) * (heading + inch_high) + bottom
    with style():
        figure = new_figure(inch_wide + 2 * margin, height, constrained=False)
        width = inch_wide + 2 * margin
        figure.text(
            margin / width,
            1 - 0.12 / height,
            _heading(activations, cells),
            va="top",
            fontsize=11,
            weight="bold",
        )
        shades = activations.shades()
        for place, unit in enumerate(chosen):
            below = height - top - (place + 1) * (heading + inch_high)
            axes = figure.add_axes((margin / width, below / height, inch_wide / width, inch_high / height))
            _draw_block(axes, cells, shades[:, unit], columns, lines)
            low, high = activations.values[:, unit].min(), activations.values[:, unit].max()
            axes.set_title(f"unit {unit}", fontsize=9, pad=4)
            axes.set_title(
                f"from {low:.2f} to {high:.2f}", loc="right", fontsize=8, weight="normal", color=GREY, pad=4
            )
        _draw_scale(
            figure, activations, (margin / width, 0.4 / height, min(2.5, inch_wide) / width, 0.12 / height)
        )
        return figure


def layout(symbols: Sequence[str], columns: int) -> list[Cell]:
    """Place symbols on lines of `columns` characters; a line end shows as ↵ and ends its line.

    Symbols longer than one character (words, subwords) get a space between them and are never split, except
    one that is longer than a line, which is cut.
    """
    gap = 1 if any(len(symbol) > 1 for symbol in symbols) else 0
    cells, line, column = [], 0, 0
    for index, symbol in enumerate(symbols):
        text = shown(symbol)[:columns]
        if column and column + len(text) > columns:
            line, column = line + 1, 0
        cells.append(Cell(index, line, column, text))
        column += len(text) + gap
        if symbol.endswith("\n"):
            line, column = line + 1, 0
    return cells


def shown(symbol: str) -> str:
    """A symbol as it can be read: what does not print gets a sign in its place."""
    return "".join(_SIGNS.get(each, each if each.isprintable() else "\ufffd") for each in symbol) or "∅"


def colours() -> np.ndarray:
    """The colour of each shade, `[256, 3]` in [0, 1]: blue, white, red, not so dark that text drowns."""
    from matplotlib import colormaps

    return colormaps["RdBu_r"](np.linspace(0.08, 0.92, 256))[:, :3]


def dark(rgb: np.ndarray) -> np.ndarray:
    """Whether text on each colour `[N, 3]` should be white."""
    return rgb @ (0.299, 0.587, 0.114) < 0.5


def _heading(activations: Activations, cells: Sequence[Cell]) -> str:
    shown, whole = len(cells), len(activations.symbols)
    cut = "" if shown == whole else f" (the first {shown:,} of {whole:,} symbols)"
    return (
        f"{activations.title}, the units that vary most{cut}"
        if activations.title
        else f"Units that vary most{cut}"
    )


def _draw_block(axes: Axes, cells: Sequence[Cell], shades: np.ndarray, columns: int, lines: int) -> None:
    """One unit: coloured cells, and the text over them as outlines, so that each glyph sits in its cell."""
    from matplotlib.collections import PathCollection, PolyCollection
    from matplotlib.transforms import Affine2D

    fills = colours()[shades[[cell.index for cell in cells]]]
    boxes = [
        [
            (c.column, c.line),
            (c.column + len(c.text), c.line),
            (c.column + len(c.text), c.line + 1),
            (c.column, c.line + 1),
        ]
        for c in cells
    ]
    axes.add_collection(PolyCollection(boxes, facecolors=fills, edgecolors="none", antialiased=False))
    on_dark = dark(fills)
    for wanted, ink in ((True, "white"), (False, "black")):
        outlines = [_outline(cell) for cell, is_dark in zip(cells, on_dark, strict=True) if is_dark == wanted]
        place = Affine2D() + axes.transData
        axes.add_collection(PathCollection(outlines, facecolors=ink, edgecolors="none", transform=place))
    axes.set_xlim(0, columns)
    axes.set_ylim(lines, 0)
    axes.set_axis_off()


def _outline(cell: Cell) -> Outline:
    """The glyphs of a cell as a path in characters and lines."""
    from matplotlib.path import Path as MatplotlibPath

    vertices, codes = [], []
    for place, character in enumerate(cell.text):
        glyph, glyph_codes = _glyph(character)
        if len(glyph):
            vertices.append(glyph + np.array([cell.column + place, cell.line]))
            codes.append(glyph_codes)
    if not vertices:
        return MatplotlibPath(np.empty((0, 2)))
    return MatplotlibPath(np.concatenate(vertices), np.concatenate(codes))


@cache
def _glyph(character: str) -> tuple[np.ndarray, np.ndarray]:
    """A character of FONT in a cell of 1 by 1, y downwards; one the font lacks becomes a box."""
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=FONT, size=_POINTS)
    known = get_font(findfont(font)).get_char_index(ord(character))
    path = TextToPath()
    vertices, codes = path.get_text_path(font, character if known else "□", ismath=False)
    points = np.asarray(vertices, dtype=float).reshape(-1, 2) * (_POINTS / path.FONT_SCALE)
    across, up = points[:, 0] / (_ADVANCE * _POINTS), points[:, 1] / (_LINE_HEIGHT * _POINTS)
    return np.stack([across, 0.7 - up], 1), np.asarray(codes, dtype=np.uint8)


def _draw_scale(figure: Figure, activations: Activations, place: tuple[float, float, float, float]) -> None:
    axes = figure.add_axes(place)
    axes.imshow(colours()[None], aspect="auto", extent=(activations.low, activations.high, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([activations.low, (activations.low + activations.high) / 2, activations.high])
    axes.grid(False)
    axes.set_xlabel("value after reading the symbol", fontsize=8, labelpad=2)
