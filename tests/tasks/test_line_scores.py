"""How probable lines are: columns, plain values, and the best of alternatives."""

from __future__ import annotations

import math

import pytest
import torch

import cases
from recurra.data.vocabulary import Bytes, Words
from recurra.models.language_model import LanguageModel
from recurra.models.language_model_config import LanguageModelConfig
from recurra.tasks import line_scores
from recurra.tasks.line_scores import LINES_AT_ONCE, choose_alternatives, score_lines


@pytest.fixture
def words():
    return Words(["a", "b", "c"])


@pytest.fixture
def model(words):
    built = LanguageModel(
        LanguageModelConfig(cell="gru", hidden_size=7, embedding_size=4), len(words)
    ).double()
    cases.randomise(built)
    return built.eval()


def test_a_line_costs_what_the_steps_say(model, words):
    (line,) = score_lines(model, words, ["b zz a"])
    ids = torch.tensor([[-1, 3, 1, 2]])
    log_probs = model.log_probs(model.features(ids)[0])[0]
    assert line.token_log_probs == pytest.approx([log_probs[t, i].item() for t, i in enumerate([3, 1, 2, 0])])
    assert (line.tokens, line.unknown) == (["b", "<unk>", "a", "<eos>"], 1)
    assert line.log_prob == pytest.approx(sum(line.token_log_probs))
    assert line.perplexity == pytest.approx(math.exp(-line.log_prob / 4))


def test_more_lines_than_go_at_once_are_scored_each_alone(model, words):
    lines = ["a b c a b c", "", "c"] * (LINES_AT_ONCE // 2)
    together = list(score_lines(model, words, lines))
    assert [one.text for one in together] == lines
    for line, one in zip(lines[:3], together[:3], strict=True):
        assert one.log_prob == pytest.approx(next(score_lines(model, words, [line])).log_prob, rel=1e-12)


@pytest.mark.parametrize(("most", "numbers"), [(5, 1 << 23), (512, 7 * 4 * 3), (1, 1)])
def test_windows_and_slices_change_no_score(model, words, monkeypatch, most, numbers):
    lines = ["a b c zz " * 9, "", "c", "b a " * 20, "a" + " c" * 4]
    whole = list(score_lines(model, words, lines))
    monkeypatch.setattr(line_scores, "MOST_STEPS", most)
    monkeypatch.setattr(line_scores, "NUMBERS_AT_ONCE", numbers)
    for one, cut in zip(whole, score_lines(model, words, lines), strict=True):
        assert cut.token_log_probs == pytest.approx(one.token_log_probs, rel=1e-12)
        assert (cut.tokens, cut.text) == (one.tokens, one.text)


def test_a_long_line_takes_no_table_of_time_and_vocabulary():
    vocabulary = Words([f"w{number}" for number in range(10_000)])
    model = LanguageModel(
        LanguageModelConfig(cell="gru", hidden_size=8, embedding_size=4), len(vocabulary)
    ).eval()
    sizes, original = [], model.log_probs

    def log_probs(hidden):
        sizes.append(hidden[..., 0].numel() * len(vocabulary))
        return original(hidden)

    model.log_probs = log_probs
    (score,) = score_lines(model, vocabulary, ["w1 w7 w9 " * 700])
    assert len(score.token_log_probs) == 2101
    assert max(sizes) <= line_scores.NUMBERS_AT_ONCE < sum(sizes)


def test_bytes_are_scored_as_they_are():
    vocabulary = Bytes("eos")
    model = LanguageModel(
        LanguageModelConfig(cell="gru", hidden_size=8, embedding_size=4), len(vocabulary)
    ).double()
    lines = [b"a\r", b"\xe4\0", b"\xef\xbb\xbf", "ä".encode()]
    scores = list(score_lines(model, vocabulary, lines))
    assert [one.text for one in scores] == ["a\r", "\ufffd\0", "\ufeff", "ä"]
    assert [len(one.tokens) for one in scores] == [3, 3, 4, 3]
    (choice,) = choose_alternatives(model, vocabulary, [b"\xe4\t\xe5"])
    assert [one.tokens for one in choice.alternatives] == [["\\xe4", "<eos>"], ["\\xe5", "<eos>"]]


def test_what_is_printed(model, words):
    plain = next(score_lines(model, words, ["a b"]))
    assert plain.line().split()[1:] == ["3", f"{plain.perplexity:.4f}", "a", "b"]
    assert set(plain.as_dict()) == {"text", "log_prob", "tokens", "perplexity", "unknown"}
    full = next(score_lines(model, words, ["a b"], shows_tokens=True))
    assert len(full.line().splitlines()) == 4
    assert [token for token, _ in full.as_dict()["token_log_probs"]] == ["a", "b", "<eos>"]


def test_of_equals_the_first_is_chosen(model, words):
    (choice,) = choose_alternatives(model, words, ["c c c c\ta\ta"])
    scores = [one.log_prob for one in choice.alternatives]
    assert choice.best == scores.index(max(scores))
    assert choice.line() == ["c c c c", "a", "a"][choice.best]
    assert choice.as_dict()["best"] == choice.best
    (same,) = choose_alternatives(model, words, ["b\tb"])
    assert same.best == 0
