"""The checks that the ways of decoding share."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.decode.checks import check_log_probs, check_searchable, check_symbols, length_limits
from recurra.errors import ConfigError, ShapeError


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [(0, 0), (2, 3), (1, 2)])
def test_log_probs_that_are_no_numbers_are_refused(bad, place):
    log_probs = torch.randn((3, 4), generator=torch.Generator().manual_seed(1)).log_softmax(1)
    log_probs[0, 1] = -math.inf  # no probability is a number
    check_log_probs(log_probs)
    log_probs[place] = bad
    with pytest.raises(ShapeError, match=r"log_probs: .* not numbers \(NaN or \+inf\)"):
        check_log_probs(log_probs)


def test_no_rows_and_impossible_rows_pass():
    check_log_probs(torch.zeros(0, 5))
    check_log_probs(torch.full((2, 3), -math.inf))


def test_symbols_are_from_zero_to_the_size():
    check_symbols("stop", (), 3)
    check_symbols("stop", (0, 2, 2), 3)
    for symbol in (-1, 3):
        with pytest.raises(ConfigError, match=f"forbid: expected ids from 0 to 2, got {symbol}"):
            check_symbols("forbid", (1, symbol), 3)


def test_the_stop_symbol_may_not_be_forbidden():
    check_searchable(2, (0, 1), 3)
    with pytest.raises(ConfigError, match="stop: expected ids from 0 to 2, got 3"):
        check_searchable(3, (), 3)
    with pytest.raises(ConfigError, match="forbid: expected ids from 0 to 2, got 7"):
        check_searchable(2, (7,), 3)
    with pytest.raises(ConfigError, match="forbid: 2 is the stop symbol, without which nothing ends"):
        check_searchable(2, (1, 2), 3)


@pytest.mark.parametrize("given", [[5, 2, 9], torch.tensor([5, 2, 9], dtype=torch.int32)])
def test_limits_become_whole_numbers(given):
    limits = length_limits(given, 3, 2)
    assert limits.dtype == torch.int64
    assert limits.tolist() == [5, 2, 9]


def test_limits_of_no_sources():
    assert length_limits([], 0, 1).tolist() == []


@pytest.mark.parametrize(
    ("given", "sources", "got"),
    [
        ([5, 5], 3, r"int64 \[2\]"),
        ([5.0, 5.0], 2, r"float32 \[2\]"),
        ([True, True], 2, r"bool \[2\]"),
        ([[5, 5]], 2, r"int64 \[1, 2\]"),
    ],
)
def test_one_whole_number_for_each_source(given, sources, got):
    with pytest.raises(ShapeError, match=f"max_lengths: .* each of the {sources} sources, got {got}"):
        length_limits(given, sources, 1)


def test_a_limit_below_the_minimum_length_is_named_with_its_source():
    with pytest.raises(
        ConfigError, match="max_lengths: expected at least the minimum length 4, got 2 for source 1"
    ):
        length_limits([4, 2, 3], 3, 4)
