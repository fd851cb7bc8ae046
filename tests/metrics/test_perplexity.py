from __future__ import annotations

import math

import pytest

from recurra.errors import DataError
from recurra.metrics.perplexity import Score


def test_figures_from_the_sum_over_true_tokens():
    score = Score(nats_sum=7 * math.log(12), tokens=7, characters=35, counted="words, and one <eos> per line")
    assert score.nats == pytest.approx(math.log(12))
    assert score.perplexity == pytest.approx(12)
    assert score.bits_per_character == pytest.approx(7 * math.log2(12) / 35)
    assert "7 tokens: words, and one <eos> per line" in score.recipe
    assert "35 characters" in score.recipe
    assert score.as_dict() == {
        "nats": score.nats,
        "perplexity": score.perplexity,
        "bits_per_character": score.bits_per_character,
        "nats_sum": score.nats_sum,
        "tokens": 7,
        "characters": 35,
        "recipe": score.recipe,
    }


def test_without_characters_there_are_no_bits_per_character():
    assert Score(3.5, 2).bits_per_character is None
    assert "character" not in Score(3.5, 2).recipe
    assert Score(3.5, 2).as_dict()["perplexity"] is None  # note sets: no text, so no perplexity


def test_perplexity_beyond_a_float_is_infinite():
    assert Score(1e6, 3).perplexity == math.inf


def test_scores_of_two_texts_add_sums_not_means():
    both = Score(10.0, 2, 9) + Score(5.0, 8, 11)
    assert both == Score(15.0, 10, 20)
    assert (Score(10.0, 2, 9) + Score(5.0, 8)).characters is None


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError, match=r"tokens: expected at least one to score, got 0\."):
        Score(0.0, 0)
    with pytest.raises(DataError, match="cannot add a score over words to one over bytes"):
        Score(1.0, 1, counted="bytes") + Score(1.0, 1, counted="words")
