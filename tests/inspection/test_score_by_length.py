"""Ranges of length, and the score over them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recurra.errors import ConfigError
from recurra.inspection.score_by_length import (
    ScoreByLength,
    length_ranges,
    plot_score_by_length,
    save_score_by_length,
)


def test_ranges_hold_about_as_many_sentences_and_part_no_length() -> None:
    assert length_ranges([1, 2, 3, 4, 5, 6], 3) == [(1, 2), (3, 4), (5, 6)]
    assert length_ranges([9, 2, 2, 2, 2, 4], 3) == [(2, 2), (4, 4), (9, 9)]
    assert length_ranges([5, 5, 5], 4) == [(5, 5)]
    assert length_ranges([3, 1], 1) == [(1, 3)]
    lengths = np.random.default_rng(3).poisson(60, 1000).tolist()
    ranges = length_ranges(lengths, 6)
    held = [sum(low <= length <= high for length in lengths) for low, high in ranges]
    assert sum(held) == 1000
    assert len(ranges) == 6
    assert max(held) < 2 * min(held)
    assert all(one[1] < following[0] for one, following in itertools.pairwise(ranges))


@pytest.mark.parametrize(("lengths", "most"), [([], 3), ([1], 0)])
def test_no_ranges_are_refused(lengths: list[int], most: int) -> None:
    with pytest.raises(ConfigError, match="ranges: expected at least 1"):
        length_ranges(lengths, most)


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
    assert save_score_by_length(scores, tmp_path / "lengths.png").stat().st_size > 5_000
