"""Resuming a run with other settings, and with files that have moved."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

import recurra
from recurra import LMConfig, TextConfig, TrainingConfig
from recurra.errors import ConfigError, RunError
from recurra.models.language_model_config import LanguageModelConfig
from recurra.tasks.changes import change, changeable, judged_by, reading
from recurra.tasks.opened import open_run
from recurra.training.optimiser_config import OptimiserConfig


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("changes")
    (folder / "text.txt").write_text("a line of text\nand another one\n" * 30)
    recurra.train(config(folder / "text.txt"), out=folder / "run")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the run, and of its text in another place."""
    shutil.copytree(made / "run", tmp_path / "run")
    shutil.copy(made / "text.txt", tmp_path / "moved.txt")
    return tmp_path


def config(text, **training) -> LMConfig:
    limits = {"steps": 4} | training
    return LMConfig(
        TextConfig(train=[str(text)]),
        LanguageModelConfig(hidden_size=6, backend="reference"),
        TrainingConfig(batch_size=2, bptt=5, device="cpu", **limits),
        OptimiserConfig(learning_rate=2e-3),
    )


def test_a_finished_run_goes_on_to_a_limit_of_another_kind(folder, capsys):
    run = recurra.resume(folder / "run", changes={"training.epochs": 0.25, "optimiser.learning_rate": 1e-3})
    assert (run.result.reason, run.config.training.steps, run.config.training.epochs) == (
        "epochs",
        None,
        0.25,
    )
    assert run.result.step > 4
    err = capsys.readouterr().err
    assert "note: training.steps was 4 and is now none; the run continues, but not bit for bit." in err
    (line,) = (folder / "run" / "changes.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "step": 4,
        "changes": {
            "optimiser.learning_rate": [2e-3, 1e-3],
            "training.epochs": [None, 0.25],
            "training.steps": [4, None],
        },
    }
    again = recurra.resume(folder / "run")  # with the new values
    assert (again.result.step, again.config.optimiser.learning_rate) == (run.result.step, 1e-3)
    assert "note:" not in capsys.readouterr().err


def test_both_kinds_of_limit_may_be_given(folder):
    opened = change(open_run(folder / "run"), {"training.steps": 9, "training.minutes": 5})
    assert (opened.config.training.steps, opened.config.training.minutes) == (9, 5)
    assert change(opened, {"training.patience": 3}).config.training.steps == 9


def test_files_that_have_moved_are_named_again(folder, made):
    text = made / "text.txt"
    text.rename(made / "elsewhere.txt")
    try:
        with pytest.raises(RunError, match=r"text\.txt': no such file; .* --data\.train FILE$"):
            recurra.resume(folder / "run")
        moved = {"data.train": [str(folder / "moved.txt")], "training.steps": 5}
        assert recurra.resume(folder / "run", changes=moved).result.step == 5
        assert recurra.resume(folder / "run").config.data.train == [str(folder / "moved.txt")]
    finally:
        (made / "elsewhere.txt").rename(text)
    (folder / "other.txt").write_text("other text\n" * 50)
    before = (folder / "run" / "config.yaml").read_bytes()
    with pytest.raises(RunError, match=r"data\.train is not what the run was started with"):
        recurra.resume(folder / "run", changes={"data.train": [str(folder / "other.txt")]})
    assert (folder / "run" / "config.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (
            "training.batch_size",
            3,
            "since its position in an epoch counts batches of this size; `recurra train lm",
        ),
        ("model.hidden_size", 3, "a run keeps its model and how its data are read"),
        ("data.layout", "lines", "a run keeps its model and how its data are read"),
        ("training.stepps", 3, r"no such key that can change\. Did you mean 'training\.steps'"),
        ("steps", 3, "no such key that can change"),
        ("training.steps", 0, "expected a whole number of at least 1, got 0"),
        ("training.steps", "x" * 5000, "expected a whole number"),
    ],
)
def test_what_cannot_change_is_refused(folder, key, value, says):
    with pytest.raises(ConfigError, match=rf"^{key}: .*{says}") as caught:
        recurra.resume(folder / "run", changes={key: value})
    assert "\n" not in str(caught.value)
    assert not (folder / "run" / "changes.jsonl").exists()


def test_pipes_and_devices_are_no_training_data(folder):
    os.mkfifo(folder / "pipe")
    for path in (folder / "pipe", "/dev/null"):
        with pytest.raises(
            ConfigError, match=r"^data\.train: .* is a pipe or a device, .* save it to a file first\.$"
        ):
            recurra.train(config(path), out=folder / "new")
    assert not (folder / "new").exists()


def test_pictures_that_cannot_be_drawn_are_noted(folder, capsys):
    """The disk is full or read-only once training is complete."""
    run = folder / "run"
    (run / "plots" / "training.png").unlink()
    (run / "plots").rmdir()
    (run / "plots").touch()
    resumed = recurra.resume(run, changes={"training.steps": 6})
    assert resumed.result.step == 6
    assert "plots: the training curves could not be drawn" in capsys.readouterr().err
    kept = recurra.load(run).model.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in resumed.model.state_dict().items())


def test_what_a_task_says_of_judging_is_part_of_the_settings():
    settings = recurra.TranslateConfig()
    assert judged_by(settings)["evaluation.best"] == "score"
    assert set(judged_by(settings)) == {
        key for key in changeable(recurra.TranslateConfig) if "evaluation." in key
    }
    assert judged_by(recurra.LMConfig()) == {}


def test_what_is_read_is_named():
    files = [f"{number}.txt" for number in range(5)]
    assert reading(LMConfig(TextConfig(train=files)), True) == ("reading", "0.txt, 1.txt, 2.txt and 2 more")
    subwords = LMConfig(TextConfig(vocabulary="subwords"))
    assert reading(subwords, True) == ("reading", "the default data, and building a vocabulary of subwords")
    assert reading(subwords, False) == ("reading", "the default data")
