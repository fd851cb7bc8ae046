"""The score over ranges of length, drawn and as a table."""

from __future__ import annotations

import numpy as np

from recurra.inspection.score_by_length import ScoreByLength
from recurra.inspection.score_by_length_picture import plot_score_by_length, show_score_by_length


def test_curves_stand_at_mean_lengths_over_the_numbers_of_sentences(tmp_path) -> None:
    curves = {"with": [40.0, 39.5, 38.0], "without": [35.0, 22.0, 9.0]}
    scores = ScoreByLength(
        "bleu", True, "words", [(2, 5), (6, 6), (9, 20)], [7, 8, 6], [4.1, 6.0, 13.5], curves
    )
    figure = plot_score_by_length(scores)
    top, bottom = figure.axes
    for line, (label, values) in zip(top.get_lines(), curves.items(), strict=True):
        assert line.get_label() == label
        np.testing.assert_array_equal(line.get_xdata(), [4.1, 6.0, 13.5])
        np.testing.assert_array_equal(line.get_ydata(), values)
    assert [(bar.get_x(), bar.get_width(), bar.get_height()) for bar in bottom.patches] == [
        (1.5, 4, 7), (5.5, 1, 8), (8.5, 12, 6),
    ]  # fmt: skip
    assert "higher is better" in top.get_ylabel()
    shown = show_score_by_length(scores)
    picture, table = shown.save(tmp_path / "lengths.png")
    assert picture.stat().st_size > 5_000
    assert table.read_text(encoding="utf-8").splitlines() == [
        "source length (words),sentences,with,without",
        "2-5,7,40.0,35.0",
        "6,8,39.5,22.0",
        "9-20,6,38.0,9.0",
    ]
    assert shown.notes == ["bleu, higher is better"]
    assert shown.record["scores"] == curves


def test_numbers_of_sentences_stand_only_where_there_is_room() -> None:
    ranges = [(place, place) for place in range(1, 40)]
    counts = [10_000 + place for place in range(39)]
    scores = ScoreByLength("ter", False, "words", ranges, counts, list(range(1, 40)), {"run": [1.0] * 39})
    top, bottom = plot_score_by_length(scores).axes
    written = [int(text.get_text().replace(",", "")) for text in bottom.texts]
    assert 3 < len(written) < 39
    assert set(written) <= set(counts)
    assert "lower is better" in top.get_ylabel()
