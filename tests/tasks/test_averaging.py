"""The mean of checkpoints: its weights, what is recorded of it, and what it is good for afterwards."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import recurra
from commands import fails, prints
from recurra.errors import ConfigError, RunError
from recurra.models.language_model_config import LanguageModelConfig
from recurra.tasks.averaging import average
from reversal import config, write_pairs

TINY = {"hidden_size": 6, "embedding_size": 5, "backend": "reference"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("averaging")


@pytest.fixture(scope="module")
def pairs(folder):
    return write_pairs(folder / "pairs.tsv", 60)


@pytest.fixture(scope="module")
def run(folder, pairs):
    """Four evaluations, whose last three checkpoints are kept."""
    settings = config(pairs, model=TINY, steps=12, evaluate_every=3, keep=3)
    return recurra.train(settings, out=folder / "run")


@pytest.fixture(scope="module")
def made(run, folder):
    return average(run.path, folder / "mean")


def checkpoints(run):
    return sorted((run.path / "checkpoints").iterdir(), key=lambda file: int(file.stem))


def test_every_evaluation_leaves_a_checkpoint_where_several_are_kept(run):
    assert [file.stem for file in checkpoints(run)] == ["6", "9", "12"]


def test_weights_are_the_mean(run, made):
    mean = load_file(made.directory.path / "model.safetensors")
    files = [load_file(file) for file in checkpoints(run)]
    assert made.steps == [6, 9, 12]
    for name, tensor in mean.items():
        assert tensor.dtype == torch.float32
        expected = sum(file[name].double() for file in files) / 3
        assert torch.equal(tensor, expected.float()), name
        assert any(not torch.equal(tensor, file[name]) for file in files), name


def test_its_evaluation_is_recorded_beside_the_best_single_one(run, made):
    opened = recurra.load(made.directory.path)
    again = opened.evaluate(greedy=True)
    assert made.figures["valid_loss"] == pytest.approx(again.loss, rel=1e-6)
    assert made.figures["valid_bleu"] == again.scores["bleu"].value
    assert set(made.figures) == {"valid_loss", "valid_perplexity", "valid_exact_match", "valid_bleu"}
    best = run.result.best_metrics
    assert (best["step"], best["valid_bleu"]) == (run.result.best_step, made.best_figures["valid_bleu"])
    assert made.best_figures == {name: best[name] for name in made.figures}
    (line,) = opened.directory.metrics()
    assert line == {
        "step": 12,
        **made.figures,
        "averaged": [6, 9, 12],
        "best": {"step": run.result.best_step, **made.best_figures},
    }
    task = json.loads((made.directory.path / "task.json").read_text())
    assert task["averaged"] == {"run": str(run.path), "steps": [6, 9, 12]}


def test_it_is_used_as_any_run_but_not_resumed(run, made):
    opened = recurra.load(made.directory.path)
    assert opened.config == run.config
    assert len(opened.predict(["a b", "c"])) == 2
    with pytest.raises(RunError, match=r"is the mean of checkpoints of .*run; resume that run"):
        recurra.resume(made.directory.path)
    with pytest.raises(RunError, match="expected at least 2 checkpoints, got 0"):
        average(made.directory.path, made.directory.path.with_name("again"))


def test_the_run_is_left_as_it_was(run, folder):
    files = [path for path in run.path.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    average(run.path, folder / "other")
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_any_task_is_averaged(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("a b c d e f g\n" * 40)
    settings = recurra.LMConfig(
        data=recurra.TextConfig(train=[str(text)]),
        model=LanguageModelConfig(hidden_size=4, embedding_size=3, backend="reference"),
        training=recurra.TrainingConfig(
            steps=4, batch_size=2, bptt=5, device="cpu", keep=2, evaluate_every=2
        ),
    )
    recurra.train(settings, out=tmp_path / "run")
    made = average(tmp_path / "run", tmp_path / "mean")
    assert set(made.figures) == {"valid_loss", "valid_perplexity", "valid_bits_per_character"}
    assert recurra.load(tmp_path / "mean").sample(n=1, max_length=5)


def test_command(capsys, run, tmp_path):
    out = str(tmp_path / "mean")
    table = prints(capsys, "average", str(run.path), "--out", out)
    assert f"best single, step {run.result.best_step}  mean of 3" in table
    assert "holds a run already" in fails(capsys, "average", str(run.path), "--out", out)
    record = json.loads(prints(capsys, "average", str(run.path), "--out", out, "--overwrite", "--json"))
    assert record["steps"] == [6, 9, 12]
    (line,) = recurra.load(out).directory.metrics()
    assert record["best"] == line["best"]
    assert "--out: expected a folder" in fails(capsys, "average", str(run.path))
    assert "resume that run" in fails(capsys, "resume", out)
    assert prints(capsys, "evaluate", out, "--greedy")


# -------------------------------------------------------------------- refused


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run.path, tmp_path / "copy")


def refuses(path, tmp_path, message, error=RunError):
    with pytest.raises(error, match=message) as caught:
        average(path, tmp_path / "mean")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mean").exists()


def test_one_checkpoint_is_no_mean(copy, tmp_path):
    for step in (6, 9):
        (copy / "checkpoints" / f"{step}.safetensors").unlink()
    refuses(copy, tmp_path, r"expected at least 2 checkpoints, got 1; train with --training\.keep 5")


def test_damaged_checkpoints_are_named(copy, tmp_path):
    file = copy / "checkpoints" / "9.safetensors"
    whole = load_file(file)
    name = next(iter(whole))
    for damage, message in (
        ({name: torch.full_like(whole[name], float("nan"))}, r"9\.safetensors: .*not finite"),
        ({name: torch.zeros(2, 2)}, r"9\.safetensors: .* expected float32"),
        ({"other": torch.zeros(2)}, r"9\.safetensors: .*'other'"),
    ):
        save_file(whole | damage, file)
        refuses(copy, tmp_path, message)
    file.write_bytes(b"\0" * 20)
    refuses(copy, tmp_path, r"9\.safetensors: not a whole")


def test_other_data_and_other_places_are_refused(copy, pairs, tmp_path):
    with pytest.raises(ConfigError, match="is the run to average"):
        average(copy, copy, overwrite=True)
    (copy / "metrics.jsonl").write_text("")
    refuses(copy, tmp_path, "has no evaluation to compare the mean with")
    (copy / "resume" / "12" / "values.json").write_text('{"counters": 3}')
    refuses(copy, tmp_path, "no mapping 'counters'")


def test_changed_data_are_refused(tmp_path):
    train = write_pairs(tmp_path / "pairs.tsv", 40)
    recurra.train(config(train, model=TINY, steps=2, evaluate_every=1, keep=2), out=tmp_path / "run")
    train.write_text(train.read_text() + "a\ta\n")
    refuses(tmp_path / "run", tmp_path, r"data\.train is not what")
