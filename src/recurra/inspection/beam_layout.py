"""Where the parts of a drawn beam search stand.

Coordinates are inches from the upper left corner.
"""

from __future__ import annotations

from dataclasses import dataclass

from recurra.inspection.beam_tree import BeamTree
from recurra.inspection.figures import SMALL, USUAL, WIDEST, shortened, text_width
from recurra.inspection.label_fonts import LabelFonts, visible

MOST_LINES = 6
BANDS = ("live", "finished", "pruned")

BOX, GAP, LEFT, EDGE = 0.24, 0.34, 0.9, 0.2
"""A node's height, between columns, what the names of the bands need, what edges reach beyond a line."""

_ROW, _HEAD, _BETWEEN = 0.48, 0.26, 0.3
_LONGEST = 1.8  # of a label


@dataclass(frozen=True)
class Place:
    """Where a node is drawn: its column from 0, its band, and its row in the band from 0."""

    column: int
    band: int
    row: int


def place_nodes(tree: BeamTree, pruned: int) -> dict[int, Place]:
    """Where each node that is shown goes.

    Live nodes stand by falling log P, ends that count by their score; of the others, ends that do not count
    among them, the `pruned` most probable of each column are shown. What came after the last step that leads
    to an end that counts is shown for one step: it led nowhere.
    """
    ends = tree.ends()
    last = max(tree.nodes[index].length for index in tree.leading())
    columns: dict[int, tuple[list[int], list[int], list[int]]] = {}
    for index, node in enumerate(tree.nodes):
        if node.length <= last + 1:
            band = 0 if node.fate == "live" else 1 if index in ends else 2
            columns.setdefault(node.length - 1, ([], [], []))[band].append(index)
    places = {}
    for column, bands in columns.items():
        for band, indices in enumerate(bands):
            indices.sort(key=ends.index if band == 1 else lambda index: -tree.nodes[index].log_prob)
            for row, index in enumerate(indices[: pruned if band == 2 else None]):
                places[index] = Place(column, band, row)
    return places


class BeamLayout:
    """Places as inches: where columns begin, how wide they are, in which line, where bands begin.

    Args:
        tree: what is drawn.
        fonts: for the labels.
        pruned: how many candidates that did not live are shown in each column.

    Attributes:
        places: by node that is drawn.
        labels, below: by node, its symbol and the number under it.
        columns: left edge and width of each column.
        lines: the columns of each line.
        line_of: the line of each column.
        tops: where each line begins, with the numbers of its steps.
        rows: by line and band, how many rows it has.
        unfollowed: the nodes that went on in the search but not in the picture.
        cuts: sentences that say what is not drawn.
        width, height: of everything.
    """

    def __init__(self, tree: BeamTree, fonts: LabelFonts, pruned: int) -> None:
        self.tree, self.fonts = tree, fonts
        self.winner, self.leading = tree.winner(), tree.leading()
        self.places = place_nodes(tree, pruned)
        ends = tree.ends()
        self.labels = {
            index: shortened(
                fonts.prose(visible(tree.nodes[index].label)), _LONGEST, USUAL, families=fonts.families
            )
            for index in self.places
        }
        self.below = {index: self._number(index, ends) for index in self.places}
        self._half = {
            index: text_width(label, USUAL, families=fonts.families) / 2 + 0.07
            for index, label in self.labels.items()
        }
        self.lines, self.columns = self._break_lines()
        self.line_of = {column: line for line, columns in enumerate(self.lines) for column in columns}
        self.places = {index: place for index, place in self.places.items() if place.column in self.line_of}
        self.rows = [[0] * len(BANDS) for _ in self.lines]
        for place in self.places.values():
            rows = self.rows[self.line_of[place.column]]
            rows[place.band] = max(rows[place.band], place.row + 1)
        self.tops = [0.2]
        for line in range(len(self.lines)):
            self.tops.append(self.top(line, len(BANDS)) + _BETWEEN)
        self.width = max(sum(self.columns[columns[-1]]) for columns in self.lines) + 0.4
        self.height = self.tops[-1] - _BETWEEN + 0.12
        end = self.lines[-1][-1]
        self.unfollowed = {
            node.parent
            for node in tree.nodes
            if node.parent in self.places and self.places[node.parent].column == end
        }
        self.cuts = self._cuts()

    def top(self, line: int, band: int) -> float:
        """Where a band of a line begins; that after the last is where the line ends."""
        rows = self.rows[line][:band]
        return self.tops[line] + _HEAD + sum(count * _ROW + (0.14 if count else 0) for count in rows)

    def height_of(self, line: int, place: Place) -> float:
        """The height at which a place's row lies in a line, or the last row of its band there."""
        row = min(place.row, max(self.rows[line][place.band] - 1, 0))
        return self.top(line, place.band) + row * _ROW + BOX / 2

    def centre(self, index: int) -> tuple[float, float]:
        """The middle of a node's box."""
        place = self.places[index]
        left, wide = self.columns[place.column]
        return left + wide / 2, self.height_of(self.line_of[place.column], place)

    def half(self, index: int) -> float:
        """Half the width of a node's box."""
        return self._half[index]

    def by_weight(self) -> list[int]:
        """The nodes in the order of drawing: pruned, finished, live, best."""
        return sorted(self.places, key=lambda index: (index in self.winner, -self.places[index].band))

    def _number(self, index: int, ends: list[int]) -> str:
        node = self.tree.nodes[index]
        counts = self.places[index].band == 1
        text = f"{ends.index(index) + 1}: {node.score:.2f}" if counts else f"{node.log_prob:.2f}"
        return text.replace("-", "\u2212")

    def _break_lines(self) -> tuple[list[list[int]], dict[int, tuple[float, float]]]:
        """The columns of each line, and each column's left edge and width."""
        wide: dict[int, float] = {}
        for index, place in self.places.items():
            needed = max(2 * self._half[index], text_width(self.below[index], SMALL) + 0.06)
            wide[place.column] = max(wide.get(place.column, 0.0), needed)
        lines: list[list[int]] = [[]]
        columns: dict[int, tuple[float, float]] = {}
        x = LEFT + EDGE
        for column in sorted(wide):
            if lines[-1] and x + wide[column] + 0.4 > WIDEST:
                if len(lines) == MOST_LINES:
                    break
                lines.append([])
                x = LEFT + EDGE
            lines[-1].append(column)
            columns[column] = (x, wide[column])
            x += wide[column] + GAP
        return lines, columns

    def _cuts(self) -> list[str]:
        steps = max(node.length for node in self.tree.nodes)
        drawn = 1 + max(place.column for place in self.places.values())
        if drawn == steps:
            return []
        if drawn > max(self.tree.nodes[index].length for index in self.leading):
            after = f"Steps {drawn + 1:,} to {steps:,}" if steps > drawn + 1 else f"Step {steps:,}"
            return [f"{after} led to no end that counts, and nothing of it is drawn."]
        return [f"The first {drawn:,} of {steps:,} steps are drawn."]
