"""Where the parts of a drawn search stand."""

from __future__ import annotations

import functools
import itertools
import operator

import pytest

from a_search import NODES, tree
from recurra.inspection.beam_layout import LEFT, MOST_LINES, BeamLayout, Place, place_nodes
from recurra.inspection.beam_tree import BeamTree, Node
from recurra.inspection.figures import WIDEST
from recurra.inspection.label_fonts import LabelFonts

LATIN = LabelFonts(("DejaVu Sans",), "")


def test_nodes_stand_by_probability_in_bands_and_few_pruned_ones_are_shown() -> None:
    places = place_nodes(tree(), pruned=1)
    assert places == {
        1: Place(0, 0, 0), 0: Place(0, 0, 1), 2: Place(0, 2, 0),
        6: Place(1, 0, 0), 4: Place(1, 0, 1), 5: Place(1, 1, 0), 7: Place(1, 2, 0),
        10: Place(2, 1, 0), 9: Place(2, 2, 0),
    }  # fmt: skip
    assert set(place_nodes(tree(), pruned=0)) == {0, 1, 4, 5, 6, 10}
    assert set(place_nodes(tree(), pruned=9)) == set(range(len(NODES)))


def chain(steps: int, end: int | None, label: str = "word") -> BeamTree:
    """Two hypotheses that live for `steps` steps; the first could end after `end` of them."""
    nodes = []
    for step in range(steps):
        parents = (None, None) if not step else (len(nodes) - 2, len(nodes) - 1)
        for parent in parents:
            nodes.append(Node(step + 1, parent, label, -1.0 - step, -1.0, "live"))
    if end is not None:
        nodes.append(Node(end + 1, 2 * (end - 1), "<eos>", -0.5, -0.1, "finished"))
    return BeamTree(nodes, 2)


def test_what_leads_nowhere_is_shown_for_one_step_and_not_followed() -> None:
    layout = BeamLayout(chain(30, end=4), LATIN, 2)
    assert max(place.column for place in layout.places.values()) == 5
    assert layout.unfollowed == {10, 11}
    assert layout.cuts == ["Steps 7 to 30 led to no end that counts, and nothing of it is drawn."]
    whole = BeamLayout(chain(5, end=4), LATIN, 2)
    assert (whole.unfollowed, whole.cuts) == (set(), [])


def test_columns_that_do_not_fit_go_on_in_a_further_line() -> None:
    layout = BeamLayout(chain(20, end=None), LATIN, 2)
    assert len(layout.lines) == 2
    assert functools.reduce(operator.iadd, layout.lines, []) == list(range(20))
    assert layout.width <= WIDEST
    assert layout.tops[1] > layout.top(0, 3)
    for columns in layout.lines:
        assert layout.columns[columns[0]][0] > LEFT
        for one, following in itertools.pairwise(columns):
            assert sum(layout.columns[one]) < layout.columns[following][0]
    assert layout.cuts == []


def test_a_search_that_is_far_too_long_is_cut_and_says_so() -> None:
    layout = BeamLayout(chain(150, end=None), LATIN, 2)
    drawn = sum(map(len, layout.lines))
    assert len(layout.lines) == MOST_LINES
    assert drawn < 150
    assert layout.cuts == [f"The first {drawn} of 150 steps are drawn."]


def test_boxes_hold_their_labels_and_long_labels_are_shortened() -> None:
    layout = BeamLayout(chain(2, end=None, label="incomprehensibilities" * 4), LATIN, 2)
    assert all(label.endswith("…") for label in layout.labels.values())
    left, wide = layout.columns[0]
    assert wide == pytest.approx(2 * layout.half(0))
    assert layout.centre(0)[0] == pytest.approx(left + wide / 2)


def test_numbers_under_the_boxes() -> None:
    layout = BeamLayout(tree(), LATIN, 9)
    assert (layout.below[1], layout.below[10], layout.below[5]) == ("−0.70", "1: −0.60", "2: −1.00")
    assert set(layout.by_weight()[-3:]) == {0, 4, 10}
    assert len(layout.places) == len(NODES)
