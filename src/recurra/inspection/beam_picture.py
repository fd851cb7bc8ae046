"""A beam search as a picture: a column per step, the hypotheses that lived, ended and were given up.

Coordinates are inches from the upper left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recurra.errors import ConfigError, ShapeError
from recurra.inspection.figures import GREY, PALETTE, new_figure, save_figure, style
from recurra.inspection.label_fonts import LabelFonts, label_fonts, visible, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_STEPS = 200

_LETTER = 0.085
_ROW, _BOX = 0.44, 0.24
_GAP = 0.42
_LEFT, _TOP, _BOTTOM = 1.0, 0.75, 0.5
_PALE = "#A8ADB3"
_BANDS = ("live", "finished", "given up")


@dataclass(frozen=True)
class Node:
    """One symbol that a beam search considered.

    Attributes:
        length: how many symbols the hypothesis has with this one, from 1.
        parent: the index of the node it follows; None for a first symbol.
        label: of the symbol.
        log_prob: of the whole hypothesis up to and with this symbol.
        score: the log-probability with its penalties.
        fate: `live` went on, `finished` ended the hypothesis, `pruned` was not among the best.
    """

    length: int
    parent: int | None
    label: str
    log_prob: float
    score: float
    fate: Literal["live", "finished", "pruned"]


@dataclass(frozen=True)
class BeamTree:
    """What a beam search looked at for one source.

    Attributes:
        nodes: parents before their children.
        beam_size: K, the most that live, and the most ends that count.
        title: what is shown.

    Raises:
        ShapeError: there is no node.
    """

    nodes: Sequence[Node]
    beam_size: int
    title: str = ""

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ShapeError("nodes: expected at least one symbol that the search considered, got none.")

    def ends(self) -> list[int]:
        """The finished nodes that the search ended with, at most K, best score first."""
        finished = [index for index, node in enumerate(self.nodes) if node.fate == "finished"]
        return sorted(finished, key=lambda index: -self.nodes[index].score)[: self.beam_size]

    def winner(self) -> list[int]:
        """The nodes of the best hypothesis in order; of the most probable longest one where none is finished."""
        longest = max(self.nodes, key=lambda node: (node.length, node.log_prob))
        return self.path([*self.ends(), self.nodes.index(longest)][0])

    def path(self, index: int) -> list[int]:
        """The nodes from the first symbol to the one at `index`."""
        found, node = [], index
        while True:
            found.append(node)
            parent = self.nodes[node].parent
            if parent is None:
                return found[::-1]
            node = parent


@dataclass(frozen=True)
class Place:
    """Where a node is drawn: its column from 0, its band, and its row in the band from 0."""

    column: int
    band: int
    row: int


def place_nodes(tree: BeamTree, given_up: int) -> dict[int, Place]:
    """Where each node that is shown goes.

    Live nodes stand by falling log P, ends that count by their score; of the others, ends that do not count
    among them, the `given_up` most probable of each column are shown.
    """
    ends = tree.ends()
    columns: dict[int, tuple[list[int], list[int], list[int]]] = {}
    for index, node in enumerate(tree.nodes):
        band = 0 if node.fate == "live" else 1 if index in ends else 2
        columns.setdefault(node.length - 1, ([], [], []))[band].append(index)
    places = {}
    for column, bands in columns.items():
        if column >= MOST_STEPS:
            continue
        for band, indices in enumerate(bands):
            indices.sort(key=ends.index if band == 1 else lambda index: -tree.nodes[index].log_prob)
            for row, index in enumerate(indices[: given_up if band == 2 else None]):
                places[index] = Place(column, band, row)
    return places


def save_beam(tree: BeamTree, path: str | Path, given_up: int = 2) -> tuple[Path, str]:
    """Write the picture of `plot_beam`.

    Returns:
        The file, and a note for the user on characters it lacks a font for, empty without any.
    """
    fonts = label_fonts([*(visible(node.label) for node in tree.nodes), tree.title])
    file = save_figure(plot_beam(tree, fonts, given_up), path)
    return file, fonts.note(f"{file.name} has \ufffd in their place")


def plot_beam(tree: BeamTree, fonts: LabelFonts, given_up: int = 2) -> Figure:
    """Draw the search, the best hypothesis strong.

    Under a symbol stands log P of its hypothesis so far, under an end its place and its score.

    Args:
        tree: what the search looked at; of more than 200 steps the first 200 are drawn.
        fonts: for the labels.
        given_up: how many candidates that did not live are shown in each column, at least 0.

    Returns:
        The figure, as large as the search needs.

    Raises:
        ConfigError: `given_up` is below 0.
    """
    if given_up < 0:
        raise ConfigError(f"given_up: expected at least 0, got {given_up}.")
    layout = _Layout(tree, fonts, place_nodes(tree, given_up))
    with style():
        figure = new_figure(layout.width, layout.height, constrained=False)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
        axes.set_axis_off()
        _draw_frame(axes, layout)
        for index in layout.by_weight():
            _draw_edge(axes, layout, index)
        for index in layout.by_weight():
            _draw_node(axes, layout, index)
        return figure


class _Layout:
    """Places as inches: where columns begin, how wide they are, where bands begin."""

    def __init__(self, tree: BeamTree, fonts: LabelFonts, places: dict[int, Place]) -> None:
        self.tree, self.fonts, self.places = tree, fonts, places
        self.labels = {index: fonts.prose(visible(tree.nodes[index].label)) for index in places}
        self.ends, self.winner = tree.ends(), tree.winner()
        self.leading = {node for end in self.ends for node in tree.path(end)}
        steps = 1 + max(place.column for place in places.values())
        letters = [5] * steps  # the numbers under the symbols
        rows = [0] * len(_BANDS)
        for index, place in places.items():
            letters[place.column] = max(letters[place.column], width(self.labels[index]))
            rows[place.band] = max(rows[place.band], place.row + 1)
        self.columns, x = [], _LEFT
        for count in letters:
            self.columns.append((x, count * _LETTER + 0.14))
            x += count * _LETTER + 0.14 + _GAP
        self.rows = rows
        self.width = max(x, _LETTER * 1.2 * width(tree.title) + 0.4, 8.2)
        self.height = self.top(len(_BANDS)) + _BOTTOM

    def top(self, band: int) -> float:
        """Where a band begins; that after the last is where the picture of the search ends."""
        return _TOP + sum(count * _ROW + (0.14 if count else 0) for count in self.rows[:band])

    def centre(self, index: int) -> tuple[float, float]:
        """The middle of a node's box."""
        place = self.places[index]
        left, wide = self.columns[place.column]
        return left + wide / 2, self.top(place.band) + place.row * _ROW + _BOX / 2

    def half(self, index: int) -> float:
        """Half the width of a node's box."""
        return width(self.labels[index]) * _LETTER / 2 + 0.07

    def by_weight(self) -> list[int]:
        """The nodes in the order of drawing: given up, finished, live, best."""
        return sorted(self.places, key=lambda index: (index in self.winner, -self.places[index].band))


def _draw_frame(axes: Axes, layout: _Layout) -> None:
    """Title, step numbers, names of the bands and what the colours mean."""
    fonts = layout.fonts
    weight = "bold" if len(fonts.families) == 1 else "normal"  # other fonts may come in one weight
    axes.text(
        0.15, 0.22, fonts.prose(layout.tree.title), fontsize=10, weight=weight, va="center",
        family=fonts.families, parse_math=False,
    )  # fmt: skip
    look: dict[str, Any] = {"fontsize": 8, "color": GREY, "va": "center"}
    axes.text(0.15, _TOP - 0.2, "step", **look)
    for number, (left, wide) in enumerate(layout.columns, start=1):
        axes.text(left + wide / 2, _TOP - 0.2, str(number), ha="center", **look)
    for band, name in enumerate(_BANDS):
        if layout.rows[band]:
            axes.text(0.15, layout.top(band) + _BOX / 2, name, **look)
            axes.axhline(layout.top(band) - 0.08, color="#E3E5E8", linewidth=0.7, zorder=0)
    axes.text(
        0.15, layout.height - 0.22,
        "Blue: the best hypothesis; dark lines lead to ends that count. Under a symbol: log P so far. "
        "Under an end: its place and its score.",
        **look,
    )  # fmt: skip


def _draw_edge(axes: Axes, layout: _Layout, index: int) -> None:
    """A curve from the box of a node's parent, or from the left margin, to its own."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    parent = layout.tree.nodes[index].parent
    x, y = layout.centre(index)
    end = x - layout.half(index)
    if parent is None:
        begin, from_y = _LEFT - 0.3, layout.top(0) + _BOX / 2
    else:
        begin, from_y = layout.centre(parent)
        begin += layout.half(parent)
    bend = layout.columns[layout.places[index].column][0] - _GAP / 2
    best, leading = index in layout.winner, index in layout.leading
    curve = Outline(
        [(begin, from_y), (bend, from_y), (bend, y), (end, y)],
        [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4],
    )
    axes.add_patch(
        PathPatch(
            curve,
            fill=False,
            zorder=3 if best else 1,
            edgecolor=PALETTE[0] if best else GREY if leading else "#CDD0D4",
            linewidth=2.2 if best else 1.0 if leading else 0.7,
        )
    )


def _draw_node(axes: Axes, layout: _Layout, index: int) -> None:
    """The box of a node with its symbol, and the number under it."""
    from matplotlib.patches import FancyBboxPatch

    node, place = layout.tree.nodes[index], layout.places[index]
    x, y = layout.centre(index)
    best, pale = index in layout.winner, place.band == 2
    face, edge = ("white", GREY if index in layout.leading else _PALE)
    if place.band == 1:
        face, edge = ("#DDF1EA", PALETTE[2])
    if best:
        face = edge = PALETTE[0]
    if not pale:
        half = layout.half(index)
        axes.add_patch(
            FancyBboxPatch(
                (x - half, y - _BOX / 2),
                2 * half,
                _BOX,
                boxstyle="round,pad=0,rounding_size=0.06",
                facecolor=face,
                edgecolor=edge,
                linewidth=0.9,
                zorder=4,
            )
        )
    look: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 5}
    ink = "white" if best else _PALE if pale else "#202124"
    axes.text(
        x, y, layout.labels[index], fontsize=8 if pale else 9, color=ink, family=layout.fonts.families,
        parse_math=False, **look,
    )  # fmt: skip
    below = f"{node.log_prob:.2f}"
    if place.band == 1:
        below = f"{layout.ends.index(index) + 1}: {node.score:.2f}"
    axes.text(
        x, y + _BOX / 2 + 0.065, below.replace("-", "\u2212"), fontsize=6.5,
        color=PALETTE[0] if best else _PALE if pale else GREY, **look,
    )  # fmt: skip
