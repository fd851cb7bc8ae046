"""A beam search as a picture: a column per step, the hypotheses that lived, ended and were pruned.

Columns that do not fit beside each other continue in a further line, as text does. `beam_layout.py` says what
stands where; coordinates are inches from the upper left corner below the heading.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.inspection.beam_layout import BANDS, BOX, EDGE, GAP, BeamLayout
from recurra.inspection.beam_tree import BeamTree
from recurra.inspection.figures import FAINT, GREY, INK, PALETTE, SMALL, USUAL, WIDTH, new_figure, style
from recurra.inspection.label_fonts import LabelFonts, label_fonts, visible
from recurra.inspection.shown import Shown
from recurra.settings import check_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PALE = "#84898F"
_LEGEND = (
    "Blue: the best hypothesis; dark lines lead to ends that count. Under a symbol: log P so far. "
    "Under an end: its place and its score."
)


def show_beam(tree: BeamTree, pruned: int = 2) -> Shown:
    """The search as a picture, and what it found as a table, best first.

    Args:
        tree: what the search looked at.
        pruned: how many candidates that did not live are shown in each column, at least 0.

    Returns:
        Picture and table, and a note on characters that the picture lacks a font for.

    Raises:
        ConfigError: `pruned` is below 0.
    """
    fonts = label_fonts([*(visible(node.label) for node in tree.nodes), tree.title])
    note = fonts.note("the picture has \ufffd in their place")
    rows = [
        (place, tree.nodes[end].score, tree.nodes[end].log_prob, tree.nodes[end].length,
         " ".join(tree.nodes[node].label for node in tree.path(end)))
        for place, end in enumerate(tree.ends(), start=1)
    ]  # fmt: skip
    table = (("place", "score", "log P", "symbols", "output"), rows)
    figure = plot_beam(tree, fonts, pruned)
    return Shown(figure, tables=[table], notes=[note] if note else [], record=tree.as_dict())


def plot_beam(tree: BeamTree, fonts: LabelFonts, pruned: int = 2) -> Figure:
    """Draw the search, the best hypothesis strong.

    Under a symbol stands log P of its hypothesis so far, under an end its place and its score. What lived on
    after the last step that led to an end that counts is drawn once and not followed further.

    Args:
        tree: what the search looked at; of very many steps the first ones are drawn, and the heading says so.
        fonts: for the labels.
        pruned: how many candidates that did not live are shown in each column, at least 0.

    Returns:
        The figure, as high as the search needs and at most as wide as any figure.

    Raises:
        ConfigError: `pruned` is below 0.
    """
    check_number("pruned", pruned, at_least=0)
    with style():
        layout = BeamLayout(tree, fonts, pruned)
        note = " ".join([_LEGEND, *layout.cuts])
        width = max(layout.width, min(WIDTH, 7.0))
        figure = new_figure(width, layout.height, tree.title or "Beam search", note, constrained=False)
        axes = figure.add_axes((0, 0, 1, layout.height / figure.get_size_inches()[1]))
        axes.set(xlim=(0, width), ylim=(layout.height, 0))
        axes.set_axis_off()
        for line in range(len(layout.lines)):
            _draw_frame(axes, layout, line)
        for index in layout.by_weight():
            _draw_edge(axes, layout, index)
        for index in layout.by_weight():
            _draw_node(axes, layout, index)
        return figure


def _draw_frame(axes: Axes, layout: BeamLayout, line: int) -> None:
    """The numbers of the steps, and the names of the bands."""
    look: dict[str, Any] = {"fontsize": SMALL, "color": GREY, "va": "center"}
    axes.text(0.15, layout.tops[line], "step", **look)
    for column in layout.lines[line]:
        left, wide = layout.columns[column]
        axes.text(left + wide / 2, layout.tops[line], str(column + 1), ha="center", **look)
    for band, name in enumerate(BANDS):
        if layout.rows[line][band]:
            top = layout.top(line, band)
            axes.text(0.15, top + BOX / 2, name, **look)
            axes.axhline(top - 0.08, color=FAINT, linewidth=0.7, zorder=0)


def _draw_edge(axes: Axes, layout: BeamLayout, index: int) -> None:
    """A curve from the box of a node's parent, or from the left margin, to its own.

    Where the parent stands at the end of the line above, the edge leaves that line to the right, and comes
    in from the left at the parent's height.
    """
    parent = layout.tree.nodes[index].parent
    place = layout.places[index]
    line = layout.line_of[place.column]
    x, y = layout.centre(index)
    start = layout.columns[layout.lines[line][0]][0] - EDGE
    bend = layout.columns[place.column][0] - GAP / 2
    if parent is None:
        begin, height = start, layout.top(line, 0) + BOX / 2
    elif layout.line_of[layout.places[parent].column] == line:
        begin, height = layout.centre(parent)
        begin += layout.half(parent)
    else:
        begin, height = start, layout.height_of(line, layout.places[parent])
        _draw_stub(axes, layout, parent, index)
    _draw_curve(
        axes, layout, index, [(begin, height), (bend, height), (bend, y), (x - layout.half(index), y)]
    )


def _draw_stub(axes: Axes, layout: BeamLayout, parent: int, index: int) -> None:
    """The start of an edge that continues in the next line: from the parent's box to beyond its column."""
    x, y = layout.centre(parent)
    left, wide = layout.columns[layout.places[parent].column]
    begin, end = x + layout.half(parent), left + wide + EDGE
    _draw_curve(axes, layout, index, [(begin, y), (begin, y), (end, y), (end, y)])


def _draw_curve(axes: Axes, layout: BeamLayout, index: int, points: list[tuple[float, float]]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    best, leading = index in layout.winner, index in layout.leading
    codes = [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4]
    axes.add_patch(
        PathPatch(
            Outline(points, codes),
            fill=False,
            zorder=3 if best else 1,
            edgecolor=PALETTE[0] if best else GREY if leading else "#CDD0D4",
            linewidth=2.2 if best else 1.0 if leading else 0.7,
        )
    )


def _draw_node(axes: Axes, layout: BeamLayout, index: int) -> None:
    """The box of a node with its symbol, and the number under it."""
    from matplotlib.patches import FancyBboxPatch

    place, half = layout.places[index], layout.half(index)
    x, y = layout.centre(index)
    best, pale = index in layout.winner, place.band == 2
    face, edge = ("white", GREY if index in layout.leading else _PALE)
    if place.band == 1:
        face, edge = ("#DDF1EA", PALETTE[2])
    if best:
        face = edge = PALETTE[0]
    if not pale:
        axes.add_patch(
            FancyBboxPatch(
                (x - half, y - BOX / 2),
                2 * half,
                BOX,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=face,
                edgecolor=edge,
                linewidth=0.9,
                zorder=4,
            )
        )
    look: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 5}
    ink = "white" if best else _PALE if pale else INK
    axes.text(
        x, y, layout.labels[index], fontsize=SMALL if pale else USUAL, color=ink, family=layout.fonts.families,
        parse_math=False, **look,
    )  # fmt: skip
    axes.text(
        x, y + BOX / 2 + 0.085, layout.below[index], fontsize=SMALL,
        color=PALETTE[0] if best else _PALE if pale else GREY, **look,
    )  # fmt: skip
    if index in layout.unfollowed:
        axes.text(x + half + 0.05, y, "…", fontsize=SMALL, color=_PALE, ha="left", va="center", zorder=5)
