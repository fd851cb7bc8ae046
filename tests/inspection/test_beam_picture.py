"""A search drawn as a tree: symbols, numbers, and the best path."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from a_search import NODES, tree
from recurra.errors import ConfigError
from recurra.inspection.beam_picture import plot_beam, show_beam
from recurra.inspection.beam_tree import Node
from recurra.inspection.figures import PALETTE
from recurra.inspection.label_fonts import LabelFonts

LATIN = LabelFonts(("DejaVu Sans",), "")


def test_the_picture_shows_symbols_numbers_and_the_best_path(tmp_path) -> None:
    figure = plot_beam(tree(title="run: $x$"), LATIN, pruned=1)
    axes = figure.axes[0]
    texts = [text.get_text() for text in [*axes.texts, *figure.texts]]
    for expected in ("run: $x$", "live", "finished", "pruned", "−0.70", "1: −0.60", "2: −1.00"):
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
    shown = show_beam(tree(hostile))
    path, table = shown.save(tmp_path / "plots" / "tree.png")
    assert shown.notes == []
    assert table.read_text(encoding="utf-8").splitlines() == [
        "place,score,log P,symbols,output",
        "1,-1,-2,2,a שלום",
        "2,-9.0,-9.0,1,<eos>",
    ]
    assert np.ptp(imread(path)) > 0.5
    lacking = plot_beam(tree([Node(1, None, "漢", -1.0, -1.0, "live")]), LabelFonts(("DejaVu Sans",), "漢"))
    lacking.savefig(tmp_path / "lacking.png")
    assert "\ufffd" in [text.get_text() for text in lacking.axes[0].texts]


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ConfigError, match="pruned: expected a whole number of at least 0, got -1"):
        plot_beam(tree(), LATIN, pruned=-1)


def test_what_led_nowhere_is_named_below_the_heading() -> None:
    dead = [*NODES, *(Node(4 + step, 11 + step, "z", -7.0, -2.0, "live") for step in range(3))]
    figure = plot_beam(tree(dead), LATIN)
    notes = " ".join(figure.texts[-1].get_text().split())
    assert "Steps 5 to 6 led to no end that counts" in notes
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert (texts.count("z"), texts.count("…")) == (1, 1)
