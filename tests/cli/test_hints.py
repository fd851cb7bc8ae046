"""What somebody who typed something else probably meant."""

from __future__ import annotations

import pytest

from commands import fails
from recurra.cli import hints, verbs
from recurra.cli.options import Options
from recurra.tasks.registry import find_task


@pytest.fixture(scope="module")
def known() -> set[str]:
    names: set[str] = set()
    for task in ("lm", "translate"):
        options = Options("train", "", "")
        options.add("out", str, None, "")
        options.flag("overwrite", "")
        options.add_config(find_task(task).config, {})
        names |= options.names
    return names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr", "optimiser.learning_rate"),
        ("epochs", "training.epochs"),
        ("batch-size", "training.batch_size"),
        ("Batch_Size", "training.batch_size"),
        ("hidden-size", "model.hidden_size"),
        ("optimizer.learning_rate", "optimiser.learning_rate"),
        ("train", "data.train"),
        ("training.lr", "optimiser.learning_rate"),
        ("output-dir", "out"),
        ("model.hiden_size", "model.hidden_size"),
        ("dropuot", "model.dropout"),
    ],
)
def test_an_option(known, typed, meant):
    assert hints.option_hint(typed, known) == f" Did you mean --{meant}?"


def test_no_option_is_made_up(known):
    assert hints.option_hint("zzz", known) == ""
    assert hints.option_hint("beam", known) == ""  # of another verb
    assert set(hints.OPTIONS.values()) <= known | {"beam-size", "n", "max-length", "temperature"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("translate pairs.tsv", "`recurra train translate` trains one, and `recurra predict RUN` uses it."),
        ("lm train", "Did you mean `recurra train lm`?"),
        ("lm evaluate", "Did you mean `recurra evaluate`?"),
        ("generate run", "Did you mean `recurra sample`?"),
        ("Eval run", "Did you mean `recurra evaluate`?"),
        ("plot run", "Did you mean `recurra inspect`, followed by one of gradients,"),
        ("trian lm", "Did you mean `recurra train`?"),
        ("zzz", "`recurra --help` lists the verbs."),
    ],
)
def test_a_verb(capsys, typed, meant):
    assert meant in fails(capsys, *typed.split())


def test_synonyms_are_of_verbs_that_there_are():
    commands = {verb.words.split()[0] for verb in verbs()}
    assert set(hints.VERBS.values()) <= commands
    assert not set(hints.VERBS) & commands


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("--model.cell", "LSTMM"), "Did you mean 'lstm'?"),
        (("--training.device", "gpu"), "Did you mean 'cuda'?"),
        (("poems.txt",), "Did you mean --data.train poems.txt?"),
    ],
)
def test_a_value(capsys, tmp_path, arguments, meant):
    assert meant in fails(capsys, "train", "lm", "--out", str(tmp_path / "run"), *arguments)
