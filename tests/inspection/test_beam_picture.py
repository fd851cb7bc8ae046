"""A search drawn as a tree: which nodes are shown where, and which path is the best."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from recurra.errors import ConfigError, ShapeError
from recurra.inspection.beam_picture import BeamTree, Node, Place, place_nodes, plot_beam, save_beam
from recurra.inspection.figures import PALETTE
from recurra.inspection.label_fonts import LabelFonts

LATIN = LabelFonts(("DejaVu Sans",), "")
# Beam size 2; scores are log P / length.
NODES = [
    Node(1, None, "a", -1.0, -1.0, "live"),
    Node(1, None, "b", -0.7, -0.7, "live"),
    Node(1, None, "c", -3.0, -3.0, "pruned"),
    Node(1, None, "<eos>", -9.0, -9.0, "finished"),
    Node(2, 0, "d", -1.5, -0.75, "live"),
    Node(2, 0, "<eos>", -2.0, -1.0, "finished"),
    Node(2, 1, "e", -1.4, -0.7, "live"),
    Node(2, 1, "f", -2.5, -1.25, "pruned"),
    Node(2, 1, "<eos>", -4.0, -2.0, "finished"),
    Node(3, 4, "g", -6.0, -2.0, "pruned"),
    Node(3, 4, "<eos>", -1.8, -0.6, "finished"),
    Node(3, 6, "<eos>", -6.0, -2.0, "finished"),
]


def tree(nodes: list[Node] = NODES, title: str = "") -> BeamTree:
    return BeamTree(nodes, 2, title)


def test_the_best_ends_count_and_the_best_of_them_wins() -> None:
    assert tree().ends() == [10, 5]
    assert tree().winner() == [0, 4, 10]
    # Of equal scores that counts which came first.
    equal = [*NODES[:8], Node(2, 1, "<eos>", -2.0, -1.0, "finished")]
    assert tree(equal).ends() == [5, 8]
    unfinished = [node for node in NODES[:8] if node.fate == "live"][:2]
    assert tree(unfinished).winner() == [1]
    assert tree(unfinished).ends() == []


def test_nodes_stand_by_probability_in_bands_and_few_that_were_given_up_are_shown() -> None:
    places = place_nodes(tree(), given_up=1)
    assert places == {
        1: Place(0, 0, 0), 0: Place(0, 0, 1), 2: Place(0, 2, 0),
        6: Place(1, 0, 0), 4: Place(1, 0, 1), 5: Place(1, 1, 0), 7: Place(1, 2, 0),
        10: Place(2, 1, 0), 9: Place(2, 2, 0),
    }  # fmt: skip
    assert set(place_nodes(tree(), given_up=0)) == {0, 1, 4, 5, 6, 10}
    assert set(place_nodes(tree(), given_up=9)) == set(range(len(NODES)))


def test_the_picture_shows_symbols_numbers_and_the_best_path(tmp_path) -> None:
    figure = plot_beam(tree(title="run: $x$"), LATIN, given_up=1)
    axes = figure.axes[0]
    texts = [text.get_text() for text in axes.texts]
    for expected in ("run: $x$", "live", "finished", "given up", "−0.70", "1: −0.60", "2: −1.00"):
        assert texts.count(expected) == 1
    assert texts.count("<eos>") == 2
    thick = [patch for patch in axes.patches if patch.get_linewidth() > 2]
    assert len(thick) == len(tree().winner())
    strong = [text.get_text() for text in axes.texts if text.get_color() == "white"]
    assert sorted(strong) == ["<eos>", "a", "d"]
    assert {patch.get_edgecolor()[:3] for patch in thick} == {
        tuple(int(PALETTE[0][place : place + 2], 16) / 255 for place in (1, 3, 5))
    }
    ends = [text for text in axes.texts if text.get_text() == "<eos>"]
    assert ends[0].get_position()[0] != ends[1].get_position()[0]


def test_the_file_is_written_whatever_the_symbols(tmp_path) -> None:
    hostile = [
        *NODES[:4],
        Node(2, 0, "$a_$ {x}\n", -1.5, -0.75, "live"),
        Node(2, 0, "שלום", -2, -1, "finished"),
    ]
    path, note = save_beam(tree(hostile), tmp_path / "plots" / "tree.png")
    assert note == ""
    assert np.ptp(imread(path)) > 0.5
    lacking = plot_beam(tree([Node(1, None, "漢", -1.0, -1.0, "live")]), LabelFonts(("DejaVu Sans",), "漢"))
    lacking.savefig(tmp_path / "lacking.png")
    assert "\ufffd" in [text.get_text() for text in lacking.axes[0].texts]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least one symbol"):
        tree([])
    with pytest.raises(ConfigError, match="given_up: expected at least 0, got -1"):
        plot_beam(tree(), LATIN, given_up=-1)
