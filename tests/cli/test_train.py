"""`recurra train` and `recurra resume`."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from cli.fruit import SMALL
from commands import command, environment, fails, prints
from recurra.cli import main


def test_help_of_training_shows_every_key_with_its_default(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "lm", "--help"])
    assert ended.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for text in (
        "--model.cell",
        "peephole_lstm",
        "--model.regularisation.zoneout",
        "--schedule.name",
        "(default: 256)",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--model.hiden_size", "3"],
            "--model.hiden_size: no such option of `recurra train lm`. Did you mean --model.hidden_size?",
        ),
        (["--model.hidden", "3"], "Did you mean --model.hidden_size?"),
        (["--model.hidden_size", "0"], "model.hidden_size: expected whole numbers of at least 1, got 0"),
        (["--model.hidden_size", "wide"], "--model.hidden_size: expected a whole number or a list"),
        (["--model.dropout", "-0.1"], "model.dropout"),
        (["--model.tied", "perhaps"], "--model.tied: expected true or false, got 'perhaps'"),
        (
            ["--model.input", "onehot"],
            "--model.input: expected one of embedding, one_hot, got 'onehot'. Did you mean 'one_hot'?",
        ),
        (["--model.cell", "grv"], "Did you mean 'gru'?"),
        (["--model.cell", "gone.py:Cell"], "there is no file gone.py"),
        (
            ["--optimiser.betas", "[0.9]"],
            "--optimiser.betas: expected a list of 2, each a number, got '[0.9]'",
        ),
        (
            ["--optimiser.learning_rate", "fast"],
            "--optimiser.learning_rate: expected a number or none, got 'fast'",
        ),
        (["--data.train"], "--data.train: expected a value, got none"),
        (["--data.train", "gone.txt"], "gone.txt: no such file"),
        (["--config", "gone.yaml"], "--config gone.yaml: cannot be read"),
    ],
)
def test_wrong_training_options_give_one_line_and_leave_nothing(capsys, tmp_path, arguments, says):
    out = tmp_path / "run"
    assert says in fails(capsys, "train", "lm", "--out", str(out), *arguments)
    assert not out.exists()


def test_training_wants_a_folder(capsys):
    assert fails(capsys, "train", "lm") == "--out: expected a folder for the run, got none; add --out RUN."


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "model:\n  hiden_size: 3\n",
            ", line 2: unknown key 'model.hiden_size'. Did you mean 'model.hidden_size'?",
        ),
        ("modle:\n  hidden_size: 3\n", ", line 1: unknown key 'modle'. Did you mean 'model'?"),
        ("model: 3\n", ", line 1: expected `key: value` lines"),
        ("- model\n", ", line 1: expected `key: value` lines"),
        ("model:\n  hidden_size: wide\n", ", line 2: model.hidden_size: expected a whole number or a list"),
        ("model:\n  tied: null\n", ", line 2: model.tied: expected true or false, got None"),
        ("data:\n  train: [1, 2]\n", ", line 2: data.train: expected a list"),
        ("model:\n  cell: lstm\n  cell: gru\n", ", line 3: key 'model.cell' is given twice"),
        ("model:\n  cell: mine.py:Leaky\n", ", line 2: model.cell may name a built-in cell only"),
        ("model: [\n", ": not YAML"),
        ("model: !!python/object/apply:os.system ['true']\n", "line 1: expected `key: value` lines"),
        ("model:\n  cell: !!python/name:os.system\n", ": not YAML"),
        ("model: &a\n  regularisation: *a\n", ": not YAML"),
        ("training:\n  bptt: -3\n", "bptt"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_wrong_configuration_files_give_one_line(capsys, tmp_path, text, says):
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert says in fails(capsys, "train", "lm", "--out", str(tmp_path / "run"), "--config", str(path))


def test_training_prints_its_last_evaluation(capsys, folder, tmp_path):
    arguments = ["--data.train", str(folder / "fruit.txt"), "--out", str(tmp_path / "run"), *SMALL]
    out = prints(capsys, "train", "lm", *arguments)
    figures = dict(line.split() for line in out.splitlines()[1:])
    assert figures["updates"] == "40"
    assert 0 < float(figures["valid_loss"]) < 4
    assert f"recurra resume {tmp_path / 'run'}" in fails(capsys, "train", "lm", *arguments)
    assert main(["train", "lm", *arguments, "--overwrite"]) == 0


def test_a_finished_run_resumes_to_where_it_is(capsys, run):
    out = prints(capsys, "resume", run)
    assert "updates" in out.split()
    assert "40" in out.split()


def test_ctrl_c_leaves_a_run_that_can_be_used_and_resumed(capsys, folder, tmp_path):
    path = tmp_path / "run"
    arguments = [
        "--data.train",
        str(folder / "fruit.txt"),
        "--out",
        str(path),
        *SMALL,
        "--training.steps",
        "1000000",
    ]
    process = subprocess.Popen(
        command("train", "lm", *arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (path / "metrics.jsonl").exists() or not (path / "metrics.jsonl").stat().st_size:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "updates" in out
    assert f"`recurra resume {path}` continues it" in err
    assert "perplexity" in prints(capsys, "evaluate", str(path))


def test_a_users_cell_is_named_on_the_command_line_only(capsys, folder, tmp_path):
    path, cell = str(tmp_path / "run"), f"{folder / 'mine.py'}:Leaky"
    arguments = ["--data.train", str(folder / "fruit.txt"), "--model.cell", cell, "--out", path, *SMALL]
    assert main(["train", "lm", *arguments]) == 0
    assert "--model.cell FILE.py:Leaky" in fails(capsys, "sample", path)
    for verb in (["sample", "--max-length", "3"], ["evaluate"], ["resume"]):
        assert prints(capsys, verb[0], path, *verb[1:], "--model.cell", cell)
