"""Attention, searches, errors and scores by length of a small trained translator, held against its model."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import recurra
from recurra import BeamConfig, ConfigError, PairBatch
from recurra.data.vocabulary import Characters, Words
from recurra.metrics.error_rates import exact_match
from recurra.tasks.translation_errors import Sentence, score_by_length, search_errors, sentences_of
from recurra.tasks.translation_looks import align, grow, labels

PAIRS = {"ein": "a", "der": "the", "hund": "dog", "frau": "woman", "rot": "red", "isst": "eats"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Word-by-word translations, reversed."""
    drawn = random.Random(5)
    sources = [drawn.choices(list(PAIRS), k=drawn.randint(1, 7)) for _ in range(90)]
    lines = [" ".join(s) + "\t" + " ".join(PAIRS[word] for word in s[::-1]) for s in sources]
    path = tmp_path_factory.mktemp("looks") / "pairs.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(file: Path) -> recurra.TranslationRun:
    config = recurra.TranslateConfig(
        data=recurra.PairConfig(train=[str(file)], held_out=0.3),
        model=recurra.EncoderDecoderConfig(
            hidden_size=10, embedding_size=7, dropout=0.1, backend="reference"
        ),
        evaluation=recurra.EvaluationConfig(metrics=["exact_match"]),
        training=recurra.PairTrainingConfig(steps=25, batch_tokens=300, evaluate_every=25),
        optimiser=recurra.OptimiserConfig(learning_rate=0.03),
        schedule=recurra.ScheduleConfig(warmup_steps=0),
    )
    trained: recurra.TranslationRun = recurra.train(config, file.with_name("run"))
    return trained


@pytest.fixture(scope="module")
def sentences(run: recurra.TranslationRun) -> list[Sentence]:
    found = sentences_of(run.pairs())
    assert len(found) > 15
    return found


def log_prob(run: recurra.TranslationRun, source: str, target: str) -> float:
    """Of a target by the model's own loss, all at once."""
    ids = [torch.from_numpy(run.vocabularies.encode_source(source)[0])]
    ids.append(torch.from_numpy(run.vocabularies.encode_target(target)[0]))
    lengths = [torch.tensor([len(each)]) for each in ids]
    with torch.no_grad():
        batch = PairBatch(ids[0][None], lengths[0], ids[1][None], lengths[1], len(ids[1]))
        return -float(run.model.loss(batch)[0])


def test_attention_is_that_of_the_best_translation(run) -> None:
    beam = BeamConfig(beam_size=3)
    source = "der hund isst rot"
    best = next(run.translate([source], beam)).outputs[0]
    found = align(run, source, beam=beam)
    assert found.source == ["der", "hund", "isst", "rot", "<eos>"]
    assert list(found.target) == best.tokens
    np.testing.assert_allclose(found.weights, best.attention.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-5)
    assert f"{best.log_prob:.2f}".replace("-", "−") in found.title


def test_a_given_target_is_followed_and_unknown_words_keep_their_text(run) -> None:
    source, target = "der  xyzzy hund", "plugh the dog eats"
    found = align(run, source, target)
    assert found.source == ["der", "xyzzy", "hund", "<eos>"]
    assert found.target == ["plugh", "the", "dog", "eats", "<eos>"]
    assert found.unknown == {1}
    assert found.weights.shape == (5, 4)
    assert f"{log_prob(run, source, target):.2f}".replace("-", "−") in found.title
    np.testing.assert_allclose(found.weights[:2], align(run, source, "plugh the").weights[:2], atol=1e-6)


def test_labels_are_the_text_of_words_and_characters_cut_where_the_ids_are() -> None:
    words = Words(["a", "b"])
    assert labels(words, " a zz  b ", np.array([2, 1, 3, 0])) == ["a", "zz", "b", "<eos>"]
    assert labels(words, "a zz b", np.array([2, 0])) == ["a", "<eos>"]
    characters = Characters(["a", " "], "eos")
    assert labels(characters, "a ñ", np.array([2, 3, 1, 0])) == ["a", " ", "ñ", "<eos>"]


def test_the_tree_ends_in_what_the_search_found(run) -> None:
    beam = BeamConfig(beam_size=3, n_best=3)
    tree, found = grow(run, "ein hund isst rot", beam)
    assert len(found) == 3
    assert [tree.nodes[end].score for end in tree.ends()] == [one.score for one in found]
    symbols = run.vocabularies.target.symbols
    for end, one in zip(tree.ends(), found, strict=True):
        assert [tree.nodes[node].label for node in tree.path(end)] == [symbols[index] for index in one.ids]
    assert tree.winner() == tree.path(tree.ends()[0])
    assert {node.fate for node in tree.nodes} == {"live", "finished", "pruned"}
    assert tree.beam_size == 3


def test_what_is_empty_or_has_no_attention_is_refused(run) -> None:
    for act in (lambda: align(run, " "), lambda: grow(run, "", BeamConfig())):
        with pytest.raises(ConfigError, match="source: expected some text"):
            act()
    with pytest.raises(ConfigError, match="target: expected some text"):
        align(run, "ein hund", " ")
    none = dataclasses.replace(run.settings.model, attention="none")
    blind = type(run.model)(none, len(run.vocabularies.source), len(run.vocabularies.target), False)
    other = recurra.TranslationRun(run.directory, run.settings, blind, run.vocabularies)
    with pytest.raises(ConfigError, match="no attention to show"):
        align(other, "ein hund")


def test_errors_are_judged_by_the_score_of_the_search(run, sentences) -> None:
    beam = BeamConfig(length_penalty=0.4)
    one, wide = search_errors(run, sentences, [1, 4], beam)
    assert (one.beam_size, wide.beam_size) == (1, 4)
    outputs = [each.outputs[0] for each in run.translate([s.text for s in sentences], BeamConfig(1, 0.4))]
    for sentence, comparison, output in zip(sentences, one.comparisons, outputs, strict=True):
        assert (comparison.source, comparison.output) == (sentence.text, output.text)
        assert comparison.output_score == pytest.approx(output.score, abs=1e-5)
        (reference,) = sentence.references
        length = len(reference.split()) + 1
        expected = log_prob(run, sentence.text, reference) / length**0.4
        assert comparison.reference_score == pytest.approx(expected, abs=1e-4)
        assert comparison.equal == (output.text == reference)
    expected = exact_match([o.text for o in outputs], [s.references for s in sentences])
    assert (one.metric, one.score) == ("exact_match", expected.score)


def test_a_reference_that_a_wide_beam_finds_and_a_narrow_one_misses_is_a_search_error(run, sentences) -> None:
    # References are what a beam of 8 finds; of several it is the one the model likes best that counts.
    wide = [each.outputs[0].text for each in run.translate([s.text for s in sentences], BeamConfig(8))]
    narrow = [each.outputs[0].text for each in run.translate([s.text for s in sentences], BeamConfig(1))]
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
    outputs = [each.outputs[0].text for each in run.translate([s.text for s in sentences], BeamConfig(2))]
    for (low, high), count, mean, score in zip(
        scores.ranges, scores.counts, scores.means, scores.scores["first"], strict=True
    ):
        here = [i for i, s in enumerate(sentences) if low <= len(s.text.split()) <= high]
        assert len(here) == count
        assert math.isclose(mean, sum(len(sentences[i].text.split()) for i in here) / count)
        expected = exact_match([outputs[i] for i in here], [sentences[i].references for i in here])
        assert score == expected.score
    with pytest.raises(ConfigError, match="again: has other test pairs than first"):
        score_by_length(both, [sentences, sentences[1:]], BeamConfig(2), 3)


def test_sentences_are_the_first_sources_that_are_not_empty(run, file) -> None:
    test = file.with_name("test.tsv")
    test.write_text(
        "ein hund\ta dog\n\tnothing\nrot\tred\nein hund\tone dog\nfrau\twoman\n", encoding="utf-8"
    )
    found = sentences_of(run.pairs(test=[str(test)]), 2)
    assert [(one.text, list(one.references)) for one in found] == [
        ("ein hund", ["a dog", "one dog"]),
        ("rot", ["red"]),
    ]
    with pytest.raises(ConfigError, match="sentences: expected at least 1, got 0"):
        sentences_of(run.pairs(), 0)
