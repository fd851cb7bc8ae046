"""Attention and searches of a small trained translator, compared with its model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import recurra
from recurra import BeamConfig, ConfigError
from recurra.data.vocabulary import Characters, Words
from recurra.tasks.translation_traces import attention_of, labels, trace_beam_search
from translating import log_prob, translate


@pytest.fixture(scope="module")
def run(word_translator):
    return word_translator


def test_attention_is_that_of_the_best_translation(run) -> None:
    beam = BeamConfig(beam_size=3)
    source = "der hund isst rot"
    best = next(translate(run, [source], beam)).outputs[0]
    found = attention_of(run, source, beam=beam)
    assert found.source == ["der", "hund", "isst", "rot", "<eos>"]
    assert list(found.target) == best.tokens
    np.testing.assert_allclose(found.weights, best.attention.numpy(), atol=1e-5)
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-5)
    assert f"{best.log_prob:.2f}".replace("-", "−") in found.title
    assert found.model == "LSTM, 10 units, luong attention"


def test_a_given_target_is_followed_and_unknown_words_keep_their_text(run) -> None:
    source, target = "der  xyzzy hund", "plugh the dog eats"
    found = attention_of(run, source, target)
    assert found.source == ["der", "xyzzy", "hund", "<eos>"]
    assert found.target == ["plugh", "the", "dog", "eats", "<eos>"]
    assert found.unknown == {1}
    assert found.weights.shape == (5, 4)
    assert f"{log_prob(run, source, target):.2f}".replace("-", "−") in found.title
    np.testing.assert_allclose(
        found.weights[:2], attention_of(run, source, "plugh the").weights[:2], atol=1e-6
    )


def test_labels_are_the_text_of_words_and_characters_cut_where_the_ids_are() -> None:
    words = Words(["a", "b"])
    assert labels(words, " a zz  b ", np.array([2, 1, 3, 0])) == ["a", "zz", "b", "<eos>"]
    assert labels(words, "a zz b", np.array([2, 0])) == ["a", "<eos>"]
    characters = Characters(["a", " "], "eos")
    assert labels(characters, "a ñ", np.array([2, 3, 1, 0])) == ["a", " ", "ñ", "<eos>"]


def test_the_tree_ends_in_what_the_search_found(run) -> None:
    beam = BeamConfig(beam_size=3, n_best=3)
    tree, found = trace_beam_search(run, "ein hund isst rot", beam)
    assert len(found) == 3
    assert [tree.nodes[end].score for end in tree.ends()] == [one.score for one in found]
    symbols = run.vocabularies["target"].symbols
    for end, one in zip(tree.ends(), found, strict=True):
        assert [tree.nodes[node].label for node in tree.path(end)] == [symbols[index] for index in one.ids]
    assert tree.winner() == tree.path(tree.ends()[0])
    assert {node.fate for node in tree.nodes} == {"live", "finished", "pruned"}
    assert tree.beam_size == 3


def test_what_is_empty_or_has_no_attention_is_refused(run) -> None:
    for act in (lambda: attention_of(run, " "), lambda: trace_beam_search(run, "", BeamConfig())):
        with pytest.raises(ConfigError, match="source: expected some text"):
            act()
    with pytest.raises(ConfigError, match="target: expected some text"):
        attention_of(run, "ein hund", " ")
    none = dataclasses.replace(run.config.model, attention="none")
    blind = type(run.model)(none, len(run.vocabularies["source"]), len(run.vocabularies["target"]), False)
    other = recurra.Run(run.opened, blind)
    with pytest.raises(ConfigError, match="no attention to show"):
        attention_of(other, "ein hund")
