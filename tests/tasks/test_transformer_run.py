"""A translation run whose model is the transformer, from files to outputs, by the command line."""

from __future__ import annotations

import io
import json
import math
import sys

import pytest

import recurra
from recurra.cli import main

WORDS = ("ab", "bca", "c", "cab", "abba", "bc", "acb", "cc", "bab", "ca")
KEYS = [
    *("--model.architecture", "transformer", "--model.hidden_size", "16", "--model.heads", "2"),
    *("--model.num_layers", "2", "--model.tied", "output", "--model.dropout", "0.1"),
    *("--data.source_vocabulary", "characters", "--data.target_vocabulary", "characters"),
    *("--evaluation.metrics", '["exact_match"]', "--evaluation.best", "loss", "--evaluation.sentences", "2"),
    *("--training.batch_tokens", "60", "--schedule.warmup_steps", "0", "--optimiser.learning_rate", "0.01"),
]


@pytest.fixture
def pairs(tmp_path):
    """Words and the same words backwards."""
    path = tmp_path / "words.tsv"
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in WORDS * 3))
    return ["--data.train", str(path), "--data.valid", str(path)]


def test_it_trains_evaluates_and_predicts(pairs, tmp_path, capsys, monkeypatch):
    run = str(tmp_path / "run")
    assert main(["train", "translate", *pairs, "--out", run, *KEYS, "--training.epochs", "5"]) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "--beam-size", "3", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["tokens"] == 3 * (sum(len(word) for word in WORDS) + len(WORDS))
    assert figures["loss"] < 0.9 * math.log(5), "a, b, c, EOS and UNK"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bca\n\nc\n")))
    assert main(["predict", run, "--beam-size", "2"]) == 0
    found = recurra.load(run).predict(["bca", "", "c"], beam_size=2)
    assert capsys.readouterr().out.splitlines() == [one.outputs[0].text for one in found]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model.cell", "gru"], "model.cell: belongs to model.architecture recurrent, got transformer"),
        (["--model.heads", "3"], "model.heads: expected a divisor of model.hidden_size 16, got 3"),
    ],
)
def test_what_it_cannot_take_is_said_in_one_line(pairs, tmp_path, capsys, arguments, says):
    assert main(["train", "translate", *pairs, "--out", str(tmp_path / "run"), *KEYS, *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
