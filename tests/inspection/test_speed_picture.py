"""Timings drawn: a row per cell and peer, a dot per shape, a bar to the mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from recurra.inspection.speed import Shape, Timing, ratios
from recurra.inspection.speed_picture import plot_speed, show_speed

TIMINGS = [
    Timing("lstm", Shape(1, 2, 3), {"generated": 1.0, "torch": 2.0}, 10.0),
    Timing("lstm", Shape(4, 5, 6), {"generated": 1.0, "torch": 8.0}, 20.0),
    Timing("gru", Shape(4, 5, 6), {"generated": 2.0, "loop": 6.0, "reference": 1.0}, 5.0),
]


def test_rows_dots_and_means() -> None:
    figure = plot_speed(TIMINGS, "a processor")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["lstm", "gru", "gru, reference"]
    dots = [sorted(points.get_offsets()[:, 0].tolist()) for points in axes.collections]
    assert dots == [[2.0, 8.0], [3.0], [0.5]]
    assert [bar.get_x() + bar.get_width() for bar in axes.patches] == pytest.approx([4.0, 3.0, 0.5])
    assert [text.get_text() for text in axes.texts] == ["4.0", "3.0", "0.5"]
    assert axes.get_xscale() == "log"
    assert "1x2x3, 4x5x6" in " ".join(figure.texts[-1].get_text().split())


def test_it_is_saved_and_holds_the_ratios(tmp_path: Path) -> None:
    shown = show_speed(TIMINGS)
    (path,) = shown.save(tmp_path / "speed.png")
    assert path.stat().st_size > 5_000
    assert shown.record == ratios(TIMINGS)
