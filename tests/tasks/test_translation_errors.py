"""Errors and scores by length of a small trained translator, compared with its model."""

from __future__ import annotations

import dataclasses
import math

import pytest

import recurra
from recurra import BeamConfig, ConfigError
from recurra.data.held_out import drawn
from recurra.metrics.error_rates import exact_match
from recurra.tasks.translation_errors import Sentence, score_by_length, search_errors, sentences_of
from translating import log_prob, translate


@pytest.fixture(scope="module")
def run(word_translator):
    return word_translator


@pytest.fixture(scope="module")
def sentences(run: recurra.Run) -> list[Sentence]:
    found = sentences_of(run.split())
    assert len(found) > 15
    return found


def test_errors_are_judged_by_the_score_of_the_search(run, sentences) -> None:
    beam = BeamConfig(length_penalty=0.4)
    one, wide = search_errors(run, sentences, [1, 4], beam)
    assert (one.beam_size, wide.beam_size) == (1, 4)
    outputs = [each.outputs[0] for each in translate(run, [s.text for s in sentences], BeamConfig(1, 0.4))]
    for sentence, comparison, output in zip(sentences, one.comparisons, outputs, strict=True):
        assert (comparison.source, comparison.output) == (sentence.text, output.text)
        assert comparison.output_score == pytest.approx(output.score, abs=1e-5)
        (reference,) = sentence.references
        length = len(reference.split()) + 1
        expected = log_prob(run, sentence.text, reference) / length**0.4
        assert comparison.reference_score == pytest.approx(expected, abs=1e-4)
        assert comparison.equal == (output.text == reference)
    expected = exact_match([o.text for o in outputs], [s.references for s in sentences])
    assert (one.metric, one.score) == ("exact_match", expected.value)


def test_a_reference_that_a_wide_beam_finds_and_a_narrow_one_misses_is_a_search_error(run, sentences) -> None:
    # References are what a beam of 8 finds; of several it is the one the model likes best that counts.
    wide = [each.outputs[0].text for each in translate(run, [s.text for s in sentences], BeamConfig(8))]
    narrow = [each.outputs[0].text for each in translate(run, [s.text for s in sentences], BeamConfig(1))]
    missed = sum(a != b for a, b in zip(wide, narrow, strict=True))
    assert missed
    own = [
        dataclasses.replace(sentence, references=["red red red red red red", found])
        for sentence, found in zip(sentences, wide, strict=True)
    ]
    by_one, by_eight = search_errors(run, own, [1, 8], BeamConfig())
    assert [by_eight.count(kind) for kind in ("equal", "model", "search")] == [len(own), 0, 0]
    assert [by_one.count(kind) for kind in ("equal", "model", "search")] == [len(own) - missed, 0, missed]
    assert [one.reference for one in by_one.comparisons] == wide
    worse = [dataclasses.replace(sentence, references=["red red red red red red"]) for sentence in sentences]
    assert search_errors(run, worse, [2], BeamConfig())[0].count("model") == len(worse)
    with pytest.raises(ConfigError, match="coverage_penalty: expected 0"):
        search_errors(run, own, [1], BeamConfig(coverage_penalty=0.1))


def test_scores_by_length_are_those_of_their_sentences(run, sentences) -> None:
    both = {"first": run, "again": run}
    scores = score_by_length(both, [sentences, sentences], BeamConfig(2), 3)
    assert (scores.metric, scores.higher_is_better, scores.unit) == ("exact_match", True, "words")
    assert scores.scores["first"] == scores.scores["again"]
    assert sum(scores.counts) == len(sentences)
    outputs = [each.outputs[0].text for each in translate(run, [s.text for s in sentences], BeamConfig(2))]
    for (low, high), count, mean, score in zip(
        scores.ranges, scores.counts, scores.means, scores.scores["first"], strict=True
    ):
        here = [i for i, s in enumerate(sentences) if low <= len(s.text.split()) <= high]
        assert len(here) == count
        assert math.isclose(mean, sum(len(sentences[i].text.split()) for i in here) / count)
        expected = exact_match([outputs[i] for i in here], [sentences[i].references for i in here])
        assert score == expected.value
    with pytest.raises(ConfigError, match="again: has other test pairs than first"):
        score_by_length(both, [sentences, sentences[1:]], BeamConfig(2), 3)


def test_sentences_are_drawn_from_the_sources_that_are_not_empty(run, tmp_path) -> None:
    test = tmp_path / "test.tsv"
    test.write_text(
        "ein hund\ta dog\n\tnothing\nrot\tred\nein hund\tone dog\nfrau\twoman\n", encoding="utf-8"
    )
    split = run.split({"test": [str(test)]})
    found = [(one.text, list(one.references)) for one in sentences_of(split)]
    assert found == [("ein hund", ["a dog", "one dog"]), ("rot", ["red"]), ("frau", ["woman"])]
    two = [(one.text, list(one.references)) for one in sentences_of(split, 2)]
    assert two == [found[index] for index in drawn(3, 2)]
    assert two != found[:2]
    with pytest.raises(ConfigError, match="sentences: expected a whole number of at least 1, got 0"):
        sentences_of(run.split(), 0)
