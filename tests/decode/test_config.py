"""The settings of decoding: what is refused, and how long outputs may be."""

from __future__ import annotations

import math

import pytest

from recurra.decode.config import BeamConfig, SamplingConfig, default_max_length
from recurra.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "beam_size: expected a whole number of at least 1, got 0"),
        ({"n_best": 6}, r"n_best: expected at most the beam size 5, got 6; .*--beam-size.*--n-best"),
        ({"n_best": 0}, "n_best"),
        ({"length_penalty": 1.1}, "length_penalty: expected a number from 0 to 1, got 1.1"),
        ({"length_penalty": math.nan}, "length_penalty"),
        ({"penalty": "wu"}, "penalty: expected one of power, gnmt, got 'wu'"),
        ({"coverage_penalty": -0.1}, "coverage_penalty"),
        ({"min_length": 0}, "min_length"),
        ({"min_length": 4, "max_length": 3}, "max_length: expected at least the minimum length 4, got 3"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram"),
    ],
)
def test_a_beam_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        BeamConfig(**settings)


def test_limits_follow_the_sources_lengths_unless_one_is_given():
    assert BeamConfig().limits([1, 10, 7]) == [11, 25, 20]
    assert BeamConfig(min_length=15).limits([1, 10]) == [15, 25]
    assert BeamConfig(max_length=9).limits([1, 10]) == [9, 9]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"max_length": 0}, "max_length"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"seed": -1}, "seed"),
    ],
)
def test_sampling_out_of_range_is_refused(settings, names):
    with pytest.raises(ConfigError, match=f"^{names}: expected"):
        SamplingConfig(**settings)


def test_ends_of_the_ranges_belong_to_them():
    SamplingConfig(max_length=1, temperature=0, top_k=1, top_p=1, seed=0)
    BeamConfig(beam_size=3, n_best=3, length_penalty=1, min_length=4, max_length=4)


def test_default_max_length():
    assert [default_max_length(length) for length in (1, 2, 3, 40)] == [11, 13, 14, 70]
