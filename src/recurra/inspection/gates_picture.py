"""Text coloured by what single units do while a model reads it (Karpathy, Johnson & Li 2015).

The drawing takes symbols and an array of activations, whatever model they come from: the units that vary most,
one block of text for each. A symbol has the colour of the unit's value after the model has read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from recurra.inspection.activations import Activations
from recurra.inspection.figures import GREY, SMALL, USUAL, new_figure, style
from recurra.inspection.gate_colours import colours, dark
from recurra.inspection.gates_html import gates_page
from recurra.inspection.shown import Shown
from recurra.inspection.symbols_in_lines import Cell, layout
from recurra.settings import check_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path as Outline

FONT = "DejaVu Sans Mono"  # comes with matplotlib
MOST_LINES = 24  # per unit; the page in HTML has the whole text

_ADVANCE = 0.602  # width of a character of FONT over its size
_POINTS = SMALL
_LINE_HEIGHT = 1.7  # over the size
_FEWEST_COLUMNS = 40  # what the headings over a short text need
_MARGIN, _TITLE, _BOTTOM = 0.25, 0.3, 0.65  # inches: at the sides, over each unit, under all of them


def show_gates(activations: Activations, units: int = 8) -> Shown:
    """A text coloured by the units that vary most, and a page with every unit to choose from.

    Args:
        activations: symbols, values and their scale.
        units: how many the picture shows, at least 1; the page has them all.

    Returns:
        Picture and page; a note on characters that the picture has boxes for.

    Raises:
        ConfigError: `units` is below 1.
    """
    check_number("units", units, at_least=1)
    figure = plot_gates(activations, units)
    lacking = sorted(
        {each for cell in layout(activations.symbols, 96) for each in cell.text if not _has(each)}
    )
    note = (
        f"the picture has boxes for {' '.join(lacking[:8])}; the page has the characters." if lacking else ""
    )
    shown = activations.by_interest()[:units]
    record = {
        "title": activations.title,
        "name": activations.name,
        "layer": activations.layer,
        "direction": activations.direction,
        "symbols": list(activations.symbols),
        "units": {int(unit): activations.values[:, unit].tolist() for unit in shown},
    }
    return Shown(figure, gates_page(activations), notes=[note] if note else [], record=record)


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
    check_number("units", units, at_least=1)
    check_number("columns", columns, at_least=10)
    cells = [cell for cell in layout(activations.symbols, columns) if cell.line < MOST_LINES]
    lines = cells[-1].line + 1
    columns = min(columns, max(_FEWEST_COLUMNS, *(cell.column + len(cell.text) for cell in cells)))
    chosen = activations.by_interest()[:units]
    inch_wide, inch_high = columns * _ADVANCE * _POINTS / 72, lines * _LINE_HEIGHT * _POINTS / 72
    width, height = max(inch_wide + 2 * _MARGIN, 3.0), len(chosen) * (_TITLE + inch_high) + _BOTTOM
    with style():
        figure = new_figure(width, height, *_heading(activations, cells), constrained=False)
        whole = figure.get_size_inches()[1]
        shades = activations.shades()
        for place, unit in enumerate(chosen):
            below = height - (place + 1) * (_TITLE + inch_high)
            axes = figure.add_axes((_MARGIN / width, below / whole, inch_wide / width, inch_high / whole))
            _draw_block(axes, cells, colours(activations.signed)[shades[:, unit]], columns, lines)
            low, high = activations.values[:, unit].min(), activations.values[:, unit].max()
            values = f"from {low:.2f} to {high:.2f}".replace("-", "\u2212")
            axes.set_title(f"unit {unit}", fontsize=USUAL, pad=4)
            axes.set_title(values, loc="right", fontsize=SMALL, weight="normal", color=GREY, pad=4)
        wide = min(2.5, width - 2 * _MARGIN)
        _draw_scale(figure, activations, (_MARGIN / width, 0.42 / whole, wide / width, 0.12 / whole))
        return figure


def _heading(activations: Activations, cells: Sequence[Cell]) -> tuple[str, str]:
    """Title and note."""
    shown, whole = len(cells), len(activations.symbols)
    cut = f"the first {shown:,} of {whole:,} symbols" if shown < whole else ""
    title = f"{activations.title}, the units that vary most" if activations.title else "Units that vary most"
    return title, ", ".join(part for part in (activations.cell, cut) if part)


def _draw_block(axes: Axes, cells: Sequence[Cell], by_step: np.ndarray, columns: int, lines: int) -> None:
    """One unit: cells in the colours `[T, 3]`, and the text over them as outlines, each glyph in its cell."""
    from matplotlib.collections import PathCollection, PolyCollection
    from matplotlib.transforms import Affine2D

    fills = by_step[[cell.index for cell in cells]]
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
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family=FONT, size=_POINTS)
    path = TextToPath()
    vertices, codes = path.get_text_path(font, character if _has(character) else "□", ismath=False)
    points = np.asarray(vertices, dtype=float).reshape(-1, 2) * (_POINTS / path.FONT_SCALE)
    across, up = points[:, 0] / (_ADVANCE * _POINTS), points[:, 1] / (_LINE_HEIGHT * _POINTS)
    return np.stack([across, 0.7 - up], 1), np.asarray(codes, dtype=np.uint8)


@cache
def _has(character: str) -> bool:
    """Whether FONT has a glyph for a character."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return bool(get_font(findfont(FontProperties(family=FONT))).get_char_index(ord(character)))


def _draw_scale(figure: Figure, activations: Activations, place: tuple[float, float, float, float]) -> None:
    low, high = activations.low, activations.high
    axes = figure.add_axes(place)
    axes.imshow(colours(activations.signed)[None], aspect="auto", extent=(low, high, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([low, (low + high) / 2, high])
    axes.tick_params(labelsize=SMALL)
    axes.grid(False)
    label = f"value after reading the symbol ({low:g} to {high:g})".replace("-", "\u2212")
    axes.set_xlabel(label, fontsize=SMALL, labelpad=2)
