"""`recurra train` and `recurra resume`."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time

import pytest

import recurra
from cli.fruit import SMALL
from commands import command, environment, fails, prints
from recurra.cli import main


def test_help_of_training_shows_every_key_with_its_default(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "lm", "--help-all"])
    assert ended.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for text in (
        "--model.cell",
        "peephole_lstm",
        "--model.regularisation.zoneout",
        "--schedule.name",
        "--model.hidden_size N|[N,...]|auto",
        "(default: auto)",
    ):
        assert text in out


def test_the_short_help_shows_what_people_use_first(capsys):
    with pytest.raises(SystemExit):
        main(["train", "lm", "--help"])
    out = capsys.readouterr().out
    for name in (
        "--out",
        "--config",
        "--data.train",
        "--model.cell",
        "--training.minutes",
        "--optimiser.learning_rate",
    ):
        assert f"  {name} " in out
    assert out.count("\n  --") < 20
    assert "--model.regularisation.zoneout" not in out
    assert out.endswith("more options: recurra train lm --help-all\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--model.hiden_size", "3"],
            "--model.hiden_size: no such option of `recurra train lm`. Did you mean --model.hidden_size?",
        ),
        (["--model.hidden", "3"], "Did you mean --model.hidden_size?"),
        (["--model.hidden_size", "0"], "model.hidden_size: expected whole numbers of at least 1, got 0"),
        (["--model.hidden_size", "wide"], "--model.hidden_size: expected a whole number, a list"),
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
            "--optimiser.learning_rate: expected a number, none or auto, got 'fast'",
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
        ("model:\n  hidden_size: wide\n", ", line 2: model.hidden_size: expected a whole number, a list"),
        ("model:\n  tied: null\n", ", line 2: model.tied: expected true or false, got None"),
        ("data:\n  train: [1, 2]\n", ", line 2: data.train: expected a list"),
        ("model:\n  cell: lstm\n  cell: gru\n", ", line 3: key 'model.cell' is given twice"),
        ("model:\n  cell: mine.py:Leaky\n", ", line 2: model.cell may name a built-in cell only"),
        ("model: [\n", ": not YAML"),
        ("model: !!python/object/apply:os.system ['true']\n", "line 1: YAML tags are not read"),
        ("model:\n  cell: !!python/name:os.system\n", "line 2: YAML tags are not read"),
        ("model: &a\n  regularisation: *a\n", "line 1: YAML aliases"),
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


def test_the_best_evaluation_is_printed_beside_the_last(capsys, folder, tmp_path):
    """Trained on noise at a high rate, it is the best at the start."""
    (tmp_path / "noise.txt").write_text("".join(random.Random(1).choices("abcdefgh\n", k=900)))
    arguments = ["--data.train", str(tmp_path / "noise.txt"), "--out", str(tmp_path / "run"), *SMALL]
    arguments += [
        "--optimiser.learning_rate",
        "1.0",
        "--training.evaluate_every",
        "1",
        "--schedule.name",
        "constant",
    ]
    head, *rows = prints(capsys, "train", "lm", *arguments).splitlines()
    found = re.fullmatch(r"figure +best \(step (\d+): kept\) +last \(step 40\)", head)
    assert found
    figures = {name: tuple(values) for name, *values in map(str.split, rows)}
    assert figures["updates"] == (found[1], "40")
    best, last = map(float, figures["valid_loss"])
    assert best < last
    head, *_ = prints(capsys, "resume", str(tmp_path / "run")).splitlines()
    assert re.fullmatch(r"figure +best \(step (\d+): kept\) +last \(step 40\)", head)
    last_kept = ["--training.weights", "last", "--out", str(tmp_path / "last")]
    head, *_ = prints(capsys, "train", "lm", *arguments, *last_kept).splitlines()
    assert re.fullmatch(r"figure +best \(step \d+\) +last \(step 40: kept\)", head)


def test_training_says_what_it_has_found(capsys, folder, tmp_path):
    arguments = ["--data.train", str(folder / "fruit.txt"), "--out", str(tmp_path / "run"), *SMALL]
    assert main(["train", "lm", *arguments]) == 0
    rows = [line.partition(" ")[0] for line in capsys.readouterr().err.splitlines()]
    start = ["chosen", "data", "vocabulary", "model", "backend", "device", "run", "limit"]
    assert rows[: len(start)] == start
    assert rows[len(start)] == "step"


def test_a_run_is_extended(capsys, folder, tmp_path):
    path = str(tmp_path / "run")
    assert main(["train", "lm", "--data.train", str(folder / "fruit.txt"), "--out", path, *SMALL]) == 0
    assert "has reached its limit" in fails(capsys, "resume", path, "--training.keep", "2")
    out = prints(capsys, "resume", path, "--training.steps", "50", "--schedule.name", "linear")
    assert "step 50" in out
    assert (tmp_path / "run" / "changes.jsonl").read_text().count("\n") == 1
    for option, says in (
        ("--training.bptt", "training.bptt: a run keeps it, since its position"),
        ("--model.num_layers", "model.num_layers: a run keeps its model"),
        ("--evaluation.sentences", "evaluation.sentences: a language model has no such key"),
    ):
        assert says in fails(capsys, "resume", path, option, "7")
    assert "--training.stpes: no such option" in fails(capsys, "resume", path, "--training.stpes", "7")


def test_the_help_of_resume_lists_what_can_change(capsys):
    with pytest.raises(SystemExit):
        main(["resume", "--help"])
    out = capsys.readouterr().out
    for key in (
        "training.minutes",
        "optimiser.learning_rate",
        "schedule.name",
        "evaluation.sentences",
        "data.train",
    ):
        assert f"--{key} " in out
    for key in ("training.batch_size", "training.seed", "model.hidden_size", "data.vocabulary"):
        assert f"--{key} " not in out
    assert "(default: 10, where" not in out


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


def test_two_columns_of_a_file_of_three_are_named(capsys, tmp_path):
    rows = [f"w{number} a\tv{number} b\tCC-BY 2.0\n" for number in range(60)]
    (tmp_path / "three.tsv").write_text("".join(rows))
    (tmp_path / "columns.yaml").write_text("data:\n  columns: [2, 3]\n")
    sizes = ["--training.steps", "1", "--model.hidden_size", "4", "--model.embedding_size", "3"]
    words = ["--data.source_vocabulary", "words", "--data.target_vocabulary", "words"]
    arguments = ["train", "translate", "--data.train", str(tmp_path / "three.tsv"), *words, *sizes, "--out"]
    assert "line 1: expected two columns" in fails(capsys, *arguments, str(tmp_path / "a"))
    assert "expected whole numbers, such as 1 2, got '[1,2]'" in fails(
        capsys, *arguments, str(tmp_path / "a"), "--data.columns", "[1,2]"
    )
    prints(capsys, *arguments, str(tmp_path / "a"), "--data.columns", "1", "2")
    prints(capsys, *arguments, str(tmp_path / "b"), "--config", str(tmp_path / "columns.yaml"))
    assert "CC-BY" in recurra.load(tmp_path / "b").vocabularies["target"].symbols
    assert "v1" in recurra.load(tmp_path / "a").vocabularies["target"].symbols
    prints(capsys, "evaluate", str(tmp_path / "a"), "--data.test", str(tmp_path / "three.tsv"))
