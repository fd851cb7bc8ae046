from __future__ import annotations

import math

import pytest

from recurra.errors import DataError
from recurra.metrics.perplexity import Cost


def test_figures_from_the_sum_over_true_tokens():
    score = Cost(nats_sum=7 * math.log(12), tokens=7, characters=35, unit="words, and one <eos> per line")
    assert score.loss == pytest.approx(math.log(12))
    assert score.perplexity == pytest.approx(12)
    assert score.bits_per_character == pytest.approx(7 * math.log2(12) / 35)
    assert "7 tokens: words, and one <eos> per line" in score.signature
    assert "35 characters" in score.signature
    assert score.evaluation().as_dict() == {
        "loss": score.loss,
        "tokens": 7,
        "characters": 35,
        "perplexity": score.perplexity,
        "bits_per_character": score.bits_per_character,
        "signatures": {"perplexity": score.signature, "bits_per_character": score.signature},
    }
    assert not any(one.higher_is_better for one in score.scores().values())


def test_without_characters_there_are_no_bits_per_character():
    assert Cost(3.5, 2).bits_per_character is None
    assert "character" not in Cost(3.5, 2).signature
    assert Cost(3.5, 2).evaluation().figures() == {"loss": 1.75}  # note sets: no text, so no perplexity


def test_perplexity_beyond_a_float_is_infinite():
    assert Cost(1e6, 3).perplexity == math.inf


def test_costs_of_two_texts_add_sums_not_means():
    both = Cost(10.0, 2, 9) + Cost(5.0, 8, 11)
    assert both == Cost(15.0, 10, 20)
    assert (Cost(10.0, 2, 9) + Cost(5.0, 8)).characters is None


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(DataError, match=r"tokens: expected at least one to score, got 0\."):
        Cost(0.0, 0)
    with pytest.raises(DataError, match="cannot add a cost over words to one over bytes"):
        Cost(1.0, 1, unit="bytes") + Cost(1.0, 1, unit="words")
