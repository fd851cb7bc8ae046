"""Saturated shares drawn as bars, low and high apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from recurra.inspection.saturation import Saturation
from recurra.inspection.saturation_picture import plot_saturation, show_saturation

ENTRIES = [
    Saturation(0, "forward", "update", "sigmoid", 0.25, 0.125),
    Saturation(1, "backward", "candidate", "tanh", 0.0, 0.5, part="decoder"),
]


def test_bars_are_percent_high_on_top_of_low() -> None:
    axes = plot_saturation(ENTRIES, "a run", "LSTM, 4 units").axes[0]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 25), (0, 0), (25, 12.5), (0, 50)]
    assert [text.get_text() for text in axes.texts] == ["37.5", "50.0"]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["layer 1: update", "decoder layer 2 backward: candidate"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


@pytest.mark.parametrize(("title", "expected"), [("", "Gate saturation"), ("it", "Gate saturation: it")])
def test_the_heading_and_the_table(title: str, expected: str, tmp_path: Path) -> None:
    shown = show_saturation(ENTRIES, title)
    assert shown.figure is not None
    assert shown.figure.get_suptitle() == expected
    _, table = shown.save(tmp_path / "it.png")
    assert table.read_text(encoding="utf-8").splitlines()[1:] == [
        "1,forward,update,sigmoid,0.25,0.125,0.375",
        "2,backward,candidate,tanh,0.0,0.5,0.5",
    ]
