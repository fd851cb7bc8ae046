"""Ranges of length."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from recurra.errors import ConfigError
from recurra.inspection.score_by_length import length_ranges


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
