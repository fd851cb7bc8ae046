"""The life of a run, on a task of the test's own: train, resume and load know no task's particulars."""

import hashlib
import json
import os
import shutil
import signal
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

import recurra
from recurra.cells import GRU, Cell
from recurra.cli import main
from recurra.data.corpus import TextConfig
from recurra.errors import ConfigError, RunError
from recurra.metrics.records import evaluations
from recurra.models.language_model_config import LanguageModelConfig
from recurra.settings import filled, plain
from recurra.tasks.job import TaskJob
from recurra.tasks.lm import LMConfig
from recurra.tasks.opened import config_from_dict
from recurra.tasks.registry import TASKS, find_task, task_of
from recurra.training.config import FitConfig, TrainingConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig
from tasks import bigram
from tasks.bigram import (
    BigramConfig,
    BigramModelConfig,
    EvaluationConfig,
    LettersConfig,
    NoiseConfig,
)

TEXT = "the cat sat on the mat; the dog sat on the log. " * 3


class Mine(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        return 0.5 * h + 0.5 * affine("candidate", h).tanh()


@pytest.fixture(autouse=True)
def _bigrams_are_a_task(monkeypatch):
    monkeypatch.setitem(TASKS, "bigram", bigram.ENTRY)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def config(text, *backends, aim=None, **training):
    limits = {"steps": 9, "evaluate_every": 2, "save_every": 2, "device": "cpu"} | training
    return BigramConfig(
        data=LettersConfig(train_source=[str(text)]),
        model=BigramModelConfig("lstm" if backends else None, backends, NoiseConfig(dropout=0.4)),
        training=FitConfig(**limits),
        optimiser=OptimiserConfig(learning_rate=0.05),
        schedule=ScheduleConfig("constant", warmup_steps=0),
        evaluation=EvaluationConfig(aim),
    )


def task_file(run):
    return json.loads((run.path / "task.json").read_text())


def resume_values(run):
    return run.directory.load_resume().values


# -------------------------------------------------------------------- models without a cell, and with several


def test_a_model_without_a_cell_has_the_same_life(text, tmp_path, monkeypatch):
    whole = recurra.train(config(text), out=tmp_path / "whole")
    original, calls = bigram.BigramModel.forward, []

    def stopped(model, batch, state=None):
        calls.append(model.training)
        if model.training and sum(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return original(model, batch, state)

    monkeypatch.setattr(bigram.BigramModel, "forward", stopped)
    part = recurra.train(config(text), out=tmp_path / "part")
    assert part.result.interrupted
    resumed = recurra.resume(tmp_path / "part")
    assert (resumed.result.step, resumed.result.reason) == (9, "steps")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name

    assert set(task_file(whole)) == {"task", "format", "digests", "recurra"}
    assert task_file(whole)["digests"] == resume_values(whole)["fingerprint"]
    assert set(resume_values(whole)["fingerprint"]) == {"data.train_source", "vocabulary"}
    assert "backend" not in resume_values(whole)["environment"]
    text.unlink()
    loaded = recurra.load(tmp_path / "part")  # the data files are not read
    assert loaded.task is bigram.TASK
    assert not loaded.model.training
    assert (loaded.path, str(loaded.device), loaded.result) == (resumed.path, "cpu", None)
    assert loaded.config.evaluation == EvaluationConfig(None)
    assert torch.equal(bigram.scores(loaded), bigram.scores(resumed))


def test_a_cell_for_a_model_that_has_none_is_refused(text, tmp_path):
    expected = "cell: this model has no recurrent cell, got Mine; leave it out"
    with pytest.raises(ConfigError, match=expected):
        recurra.train(config(text), out=tmp_path / "run", cell=Mine)
    assert not (tmp_path / "run").exists()
    recurra.train(config(text, steps=1), out=tmp_path / "run")
    for use in (recurra.load, recurra.resume):
        with pytest.raises(ConfigError, match=expected):
            use(tmp_path / "run", cell=Mine)


def test_several_recurrent_layers_have_one_cell_and_each_its_backend(text, tmp_path):
    run = recurra.train(config(text, "reference", "vendor", "reference", steps=1), out=tmp_path / "run")
    digest = recurra.cells.LSTM(2, 3).program.digest
    assert (task_file(run)["cell"], task_file(run)["program"]) == ("lstm", digest)
    assert resume_values(run)["fingerprint"]["model.cell"] == digest
    assert resume_values(run)["environment"]["backend"] == "reference, vendor"


def test_an_own_cell_is_checked_against_its_equations(text, tmp_path, capsys):
    run = recurra.train(config(text, "reference", steps=1), out=tmp_path / "run", cell=Mine)
    assert (task_file(run)["cell"], run.config.model.cell) == ("Mine", "Mine")
    with pytest.raises(RunError, match=r"'Mine' is not built in; name its code"):
        recurra.load(tmp_path / "run")
    assert torch.equal(bigram.scores(recurra.load(tmp_path / "run", cell=Mine)), bigram.scores(run))
    assert capsys.readouterr().err.count("equations") == 0
    with pytest.raises(RunError, match=r"equations of cell 'Mine' are not those .*resume with the original"):
        recurra.resume(tmp_path / "run", cell=GRU)


def test_the_text_of_an_own_cell_is_kept_for_reading(text, tmp_path):
    run = recurra.train(config(text, "reference", steps=2, keep=2, save_every=1), tmp_path / "run", cell=Mine)
    here = Path(__file__).resolve()
    kept = run.path / "cell.py.txt"
    assert kept.read_bytes() == here.read_bytes()
    digest = hashlib.sha256(here.read_bytes()).hexdigest()
    assert task_file(run)["cell_code"] == {"file": str(here), "sha256": digest}
    with pytest.raises(RunError) as error:
        recurra.load(run.path)
    assert str(error.value) == (
        f"{run.path}: the run's cell 'Mine' is not built in; name its code, --model.cell FILE.py:Mine or cell=Mine. "
        f"It was trained with '{here}'; its text is in {kept}."
    )
    recurra.average(run.path, tmp_path / "mean", cell=Mine)
    assert (tmp_path / "mean" / "cell.py.txt").read_bytes() == here.read_bytes()
    kept.write_text("raise SystemExit('executed')")
    assert recurra.load(run.path, cell=Mine).path == run.path
    kept.unlink()
    with pytest.raises(RunError, match=r"test_life\.py'; its text was not kept\.$"):
        recurra.load(run.path)
    record = task_file(run)
    for code, said in (
        (None, r"=Mine\.$"),
        ({"file": None}, r"defined in a notebook or at Python's prompt; its"),
    ):
        (run.path / "task.json").write_text(json.dumps(record | {"cell_code": code}))
        with pytest.raises(RunError, match=said):
            recurra.load(run.path)


def test_a_built_in_class_is_that_cell(text, tmp_path):
    run = recurra.train(config(text, "reference", steps=1), tmp_path / "run", cell=GRU)
    assert (run.config.model.cell, "cell_code" in task_file(run)) == ("gru", False)
    assert recurra.load(run.path).config == run.config
    with pytest.raises(ConfigError, match="the built-in cell has the name lstm too; rename the class"):
        recurra.train(config(text, "reference"), tmp_path / "own", cell=type("lstm", (Mine,), {}))


# -------------------------------------------------------------------- which evaluation is the best


def test_a_run_starts_with_the_weights_and_the_vocabulary_of_another(text, tmp_path):
    first = recurra.train(config(text), out=tmp_path / "first")
    fewer = tmp_path / "fewer.txt"
    fewer.write_text("the cat sat. " * 9)
    started = config(fewer, steps=1, start_from=str(tmp_path / "first"))
    started = replace(started, optimiser=OptimiserConfig(learning_rate=1e-9))
    second = recurra.train(started, out=tmp_path / "second")
    assert "g" in second.vocabularies["letters"].symbols  # of "dog", which only the first run's text has
    for name, value in first.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], value, rtol=0.0, atol=1e-6)
    assert second.directory.config["training"]["start_from"] == str((tmp_path / "first").resolve())
    shutil.rmtree(tmp_path / "first")  # needed no more
    assert recurra.resume(tmp_path / "second").result.step == 1


def test_a_run_that_does_not_fit_is_not_started_from(text, tmp_path):
    recurra.train(config(text, "reference", steps=1), out=tmp_path / "first")
    kept = (tmp_path / "first" / "model.safetensors").read_bytes()

    def refused(error, expected, out="second", overwrite=False, **changes):
        start = config(text, "reference", steps=1, start_from=str(tmp_path / changes.pop("path", "first")))
        with pytest.raises(error, match=expected):
            recurra.train(replace(start, **changes), out=tmp_path / out, overwrite=overwrite)

    remedy = r"take its settings over with --config .*first/config\.yaml"
    refused(RunError, "nowhere", path="nowhere")
    refused(ConfigError, "is the run to start from; choose another", out="first", overwrite=True)
    noise = NoiseConfig(dropout=0.4)
    refused(ConfigError, rf"the cells of .*: {remedy}", model=BigramModelConfig("gru", ("reference",), noise))
    two = BigramModelConfig("lstm", ("reference", "reference"), noise)
    refused(ConfigError, rf"the weights do not fit this model .*{remedy}", model=two)
    recurra.train(
        LMConfig(
            data=TextConfig(train=[str(text)]),
            model=LanguageModelConfig(hidden_size=4),
            training=TrainingConfig(steps=1, batch_size=2, bptt=4, device="cpu"),
        ),
        out=tmp_path / "lm",
    )
    refused(ConfigError, "lm is a language model; expected a table of letters", path="lm")
    assert (tmp_path / "first" / "model.safetensors").read_bytes() == kept
    assert not (tmp_path / "second").exists()


def test_the_criterion_decides_which_weights_are_used(text, tmp_path):
    by_loss = recurra.train(config(text), out=tmp_path / "loss")
    losses = [row["valid_loss"] for row in evaluations(by_loss.directory.metrics())[1:]]
    assert losses == sorted(losses, reverse=True)  # so the last evaluation has the lowest loss
    aim = losses[2] + 1e-3
    run = recurra.train(config(text, aim=aim), out=tmp_path / "aim")
    assert by_loss.result.best_step == 9
    assert (run.result.best_step, run.result.best_loss) == (6, losses[2])
    data = bigram.TASK.load_data(config(text), run.vocabularies)
    assert TaskJob(bigram.TASK, run.model, data, config(text)).evaluate().loss == losses[2]
    assert [row["valid_aimed"] for row in evaluations(run.directory.metrics())[1:]] == [aim] * 5
    assert not any("criterion" in key for row in run.directory.metrics() for key in row)


# -------------------------------------------------------------------- which task it is


def test_every_task_is_found_by_name_and_by_configuration():
    for name in TASKS:
        task = find_task(name)
        assert task.name == name
        assert task_of(task.config()) is task


def test_an_unknown_task_is_said_with_the_known_ones(text, tmp_path):
    run = recurra.train(config(text, steps=1), out=tmp_path / "run")
    right = task_file(run)
    for name in ("prophecy", 3, None, ["lm"]):
        (run.path / "task.json").write_text(json.dumps(right | {"task": name}))
        for use in (recurra.load, recurra.resume):
            with pytest.raises(RunError, match=r"one of the tasks lm, .*bigram, got ") as caught:
                use(run.path)
            assert "\n" not in str(caught.value)


def test_a_configuration_of_no_task_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"config: expected one of LMConfig, .*, got LettersConfig"):
        recurra.train(LettersConfig(), out=tmp_path / "run")


def test_the_command_line_uses_any_task(text, tmp_path, capsys):
    recurra.train(config(text, "reference", steps=1), out=tmp_path / "run")
    run = str(tmp_path / "run")

    def prints(*arguments):
        capsys.readouterr()
        assert main(list(arguments)) == 0
        return capsys.readouterr()

    assert (
        f"is complete; `recurra predict {tmp_path / 'run'}` gives the next letter"
        in prints("resume", run).err
    )
    assert json.loads(prints("evaluate", run, "--json").out)["tokens"] == len(TEXT) - 1
    assert (
        json.loads(prints("evaluate", run, "--json", "--data.test", str(text)).out)["tokens"] == len(TEXT) - 1
    )
    (text.parent / "lines").write_text("th\nca\n")
    lines = prints("predict", run, str(text.parent / "lines"), "--capital").out.splitlines()
    assert len(lines) == 2
    assert all(line == line.upper() for line in lines)
    record = json.loads(prints("predict", run, str(text.parent / "lines"), "--json").out.splitlines()[0])
    assert set(record) == {"text", "next"}
    for view in (["gates", "--text", "the cat"], ["gates"], ["gradients", "--length", "20"], ["table"]):
        assert prints("inspect", view[0], run, *view[1:]).out
    assert json.loads(prints("inspect", "table", run, "--json").out) == {"size": 17}
    assert main(["sample", run]) == 2
    assert "sample: a model of the task bigram gives no sequence to sample" in capsys.readouterr().err
    assert main(["inspect", "attention", run, "--source", "a"]) == 2
    assert f"{run} is a table of letters, which has no view 'attention'" in capsys.readouterr().err
    assert main(["score", run]) == 2
    assert f"{run} is a table of letters; score needs a language model" in capsys.readouterr().err
    assert main(["evaluate", run, "--beam-size", "3"]) == 2
    assert f"--beam-size: {run} is a table of letters, which has no use for it" in capsys.readouterr().err


def test_what_the_registry_says_is_so():
    for name, entry in TASKS.items():
        task = find_task(name)
        assert set(task.views()) == set(entry.views)
        assert task.name == name


# -------------------------------------------------------------------- the configuration


def test_a_configuration_comes_back_from_plain_values(text, monkeypatch):
    monkeypatch.chdir(text.parent)
    original = BigramConfig(
        data=LettersConfig(["text.txt"], ["a/../b.txt"], kept=["text.txt"], trained="text.txt"),
        model=BigramModelConfig("gru", ("cpu",), NoiseConfig(0.125, (3, 7))),
        training=FitConfig(minutes=2, patience=3),
        evaluation=EvaluationConfig(0.5),
    )
    values = plain(original)
    here = Path.cwd()
    assert values["data"] == {
        "train_source": [str(here / "text.txt")],
        "valid_target": [str(here / "b.txt")],
        "test": [],
        "kept": ["text.txt"],
        "trained": "text.txt",
    }
    yaml = json.loads(json.dumps(values))  # tuples become lists
    back = config_from_dict(BigramConfig, yaml, "run")
    assert asdict(back) == plain(filled(original))
    assert isinstance(back.model.noise, NoiseConfig)
    assert (back.model.backends, back.model.noise.span) == (("cpu",), (3, 7))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": {"sell": "lstm"}}, "sell"),
        ({"model": {"noise": {"dropuot": 0.1}}}, "dropuot"),
        ({"model": {"noise": 0.1}}, "expected a mapping of keys, got 0.1"),
        ({"training": {"steps": 0}}, r"training\.steps: expected"),
        ({"evaluation": None}, "expected a mapping of keys, got None"),
        ({"more": {}}, "more"),
    ],
)
def test_a_foreign_configuration_is_refused(change, expected):
    values = plain(BigramConfig()) | change
    with pytest.raises(RunError, match=rf"^there/config\.yaml: damaged or foreign \(.*{expected}"):
        config_from_dict(BigramConfig, values, "there")


def test_a_section_must_be_there():
    values = plain(BigramConfig())
    del values["schedule"]
    with pytest.raises(RunError, match="no section 'schedule'"):
        config_from_dict(BigramConfig, values, "there")
