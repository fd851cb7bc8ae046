from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.metrics.bleu import corpus_bleu, corpus_chrf
from recurra.metrics.by_name import METRICS, metric_named, score_outputs

HYPOTHESES = ["The cat sat on a  mat .", "", "a Dog"]
REFERENCES = [["the cat sat on a mat .", "x"], ["it"], ["a dog", "dogs", "a Dog"]]


def test_every_metric_of_the_same_outputs():
    scores = score_outputs(list(METRICS), HYPOTHESES, REFERENCES, tokenize="none")
    assert list(scores) == list(METRICS)
    assert scores["bleu"] == corpus_bleu(HYPOTHESES, REFERENCES, tokenize="none")
    assert scores["chrf"] == corpus_chrf(HYPOTHESES, REFERENCES)
    assert scores["token_error_rate"].value == pytest.approx(100 * 2 / 10)
    assert scores["phoneme_error_rate"].value == scores["token_error_rate"].value
    assert "phonemes" in scores["phoneme_error_rate"].signature
    assert scores["word_error_rate"].value == scores["token_error_rate"].value
    assert "2 edits / 10 words, 3 sequences" in scores["word_error_rate"].signature
    assert scores["sequence_error_rate"].value == pytest.approx(200 / 3)
    assert scores["exact_match"].value == pytest.approx(100 / 3)
    assert all("\n" not in score.signature and score.as_dict() for score in scores.values())


def test_without_case_and_in_the_order_asked_for():
    names = ["exact_match", "bleu", "chrf", "token_error_rate", "sequence_error_rate"]
    scores = score_outputs(names, HYPOTHESES, REFERENCES, lowercase=True)
    assert list(scores) == names
    # The two spaces are a difference for characters, and none for white-space separated symbols.
    assert scores["exact_match"].value == pytest.approx(100 / 3)
    assert scores["sequence_error_rate"].value == pytest.approx(100 / 3)
    assert scores["token_error_rate"].value == pytest.approx(100 * 1 / 10)
    assert "case:lc" in scores["bleu"].signature
    assert "case:lc" in scores["chrf"].signature


def test_allow_tokenised_is_passed_on():
    lines = ["a dog sat ."] * 100
    references = [[line] for line in lines]
    assert score_outputs(["bleu"], lines, references)["bleu"].note
    assert score_outputs(["bleu"], lines, references, allow_tokenised=True)["bleu"].note is None


def test_which_way_is_better():
    scores = score_outputs(list(METRICS), HYPOTHESES, REFERENCES)
    assert [score.name for score in scores.values()] == list(METRICS)
    assert {name for name, score in scores.items() if score.higher_is_better} == {
        "bleu",
        "chrf",
        "exact_match",
    }


def test_an_unknown_metric_is_refused():
    with pytest.raises(
        ConfigError, match=r"metric: expected one of bleu, .*, got 'blue'\. Did you mean 'bleu'"
    ):
        metric_named("blue")
    with pytest.raises(ConfigError, match="Did you mean 'exact_match'"):
        score_outputs(["bleu", "exactmatch"], ["a"], [["a"]])
