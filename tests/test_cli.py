"""The command line: arguments, configuration files, exit codes, and every verb on a small real run."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest

import recurra
from commands import OWN_CELL, command, environment, fails, feed, prints
from recurra.cli import VERBS, main
from recurra.cli.options import Options, field_help
from recurra.engine.cpu import build

TEXT = "the apple and pear salad was delicious\nthe pear and apple salad was delicious\n" * 12
SMALL = [
    *(
        "--model.hidden_size",
        "12",
        "--training.steps",
        "40",
        "--training.batch_size",
        "4",
        "--training.bptt",
        "8",
    ),
    *("--optimiser.learning_rate", "0.03", "--schedule.warmup_steps", "0"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "fruit.txt").write_text(TEXT)
    (folder / "mine.py").write_text(OWN_CELL)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    path = folder / "run"
    assert main(["train", "lm", "--data.train", str(folder / "fruit.txt"), "--out", str(path), *SMALL]) == 0
    return str(path)


@pytest.fixture(scope="module")
def lines_run(folder):
    path = folder / "lines"
    arguments = [
        "--data.layout",
        "lines",
        "--data.vocabulary",
        "words",
        "--config",
        str(folder / "small.yaml"),
    ]
    (folder / "small.yaml").write_text(
        "model: {cell: gru, hidden_size: [8, 6]}\ntraining:\n  steps: 5\n  batch_size: 4\n"
    )
    assert (
        main(["train", "lm", "--data.train", str(folder / "fruit.txt"), "--out", str(path), *arguments]) == 0
    )
    return str(path)


# -------------------------------------------------------------------- help and verbs


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_the_verbs(capsys, arguments):
    out = prints(capsys, *arguments)
    assert all(verb.words in out and verb.summary in out for verb in VERBS)


def test_help_does_not_wait_for_torch():
    code = "import sys; from recurra.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.words)
def test_each_verb_has_help(capsys, verb):
    with pytest.raises(SystemExit) as ended:
        main([*verb.words.split(), "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: recurra {verb.words} ")
    assert "%%" not in out
    assert "Literal" not in out


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
        (["trian"], "Did you mean 'train'?"),
        (["frobnicate"], "`recurra --help` lists the verbs"),
        (["train"], "train: expected one of lm, translate after it, got nothing"),
        (["train", "--data.train", "x"], "train: expected one of lm, translate after it, got '--data.train'"),
        (["inspect", "gradient"], "Did you mean 'gradients'?"),
        (["sample"], "RUN: expected, got nothing"),
        (["sample", "no/such"], "no/such: no such run directory"),
        (["resume", "no/such"], "no/such: no such run directory"),
        (["evaluate", "run", "extra"], "'extra': not expected here"),
        (["sample", "run", "--temprature", "1"], "Did you mean --temperature?"),
        (["sample", "run", "--n", "many"], "--n: expected a whole number, got 'many'"),
        (["sample", "run", "--top-k", "1.5"], "--top-k: expected a whole number or null, got '1.5'"),
        (["sample", "run", "--max-length"], "--max-length: expected a value, got none"),
        (["sample", "run", "--temperature", "-1"], "temperature: expected a number of at least 0, got -1.0"),
        (["explain", "--cell", "lsmt"], "Did you mean 'lstm'?"),
        (["explain", "--cell", "none.py:Mine"], "there is no file none.py"),
        (["explain", "--hidden-size", "0"], "--hidden-size: expected at least 1, got 0"),
        (["explain", "--dropout", "1"], "--dropout: expected a probability"),
        (
            ["explain", "--device", "cuda0"],
            "--device: expected one of cpu, cuda, got 'cuda0'. Did you mean 'cuda'?",
        ),
    ],
)
def test_wrong_arguments_give_one_line(capsys, arguments, says):
    assert says in fails(capsys, *arguments)


# -------------------------------------------------------------------- options of configuration keys


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
            "--optimiser.learning_rate: expected a number or null, got 'fast'",
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


@dataclass(frozen=True)
class Inner:
    """One.

    Attributes:
        rate: how fast,
            in 5 % steps; None: not at all.
    """

    rate: float | None = None
    many: int | list[int] = 3
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Section:
    """Two.

    Args:
        files: what to read.
    """

    files: list[str] = field(default_factory=list)
    pair: tuple[float, float] = (0.5, 0.25)
    on: bool = False
    inner: Inner = field(default_factory=Inner)
    late: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "late", 7 if self.late is None and not self.on else self.late)


@dataclass(frozen=True)
class Longer(Section):
    """A section with the keys of another.

    Args:
        files: what to write.
        left, right: how far.
    """

    left: int = 1
    right: int = 1


@dataclass(frozen=True)
class Whole:
    part: Section = field(default_factory=Section)


def built(*arguments: str) -> Section:
    options = Options("test", "A test.", "")
    options.add_config(Whole, {"part": "A part."})
    return options.build(Whole, options.parse(arguments)).part


def test_values_take_the_types_of_their_keys(tmp_path):
    assert built() == Section()
    assert built("--part.files", "a", "[b]", "--part.on") == Section(files=["a", "[b]"], on=True)
    assert built("--part.pair", "[1, 2e-3]").pair == (1.0, 0.002)
    assert built("--part.inner.many", "[4, 5]").inner == Inner(many=[4, 5])
    assert built("--part.inner.rate=1e-3", "--part.inner.kind", "b").inner == Inner(rate=0.001, kind="b")
    assert built("--part.inner.rate", "null", "--part.on", "false") == Section()


def test_defaults_are_the_declared_ones_and_not_those_of_an_instance():
    assert built("--part.on", "true").late is None


def test_the_command_line_goes_before_the_file_and_the_file_before_the_defaults(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("part:\n  files: one\n  pair: [1, 2]\n  inner: {rate: 1e-2, many: 9}\n")
    assert built("--config", str(path)) == Section(["one"], (1.0, 2.0), inner=Inner(0.01, 9))
    both = built("--part.files", "two", "three", f"--config={path}", "--part.inner.rate", "2")
    assert both == Section(["two", "three"], (1.0, 2.0), inner=Inner(2.0, 9))
    path.write_text("")
    assert built("--config", str(path)) == Section()


def test_help_of_a_key_comes_from_the_docstring():
    assert field_help(Inner) == {"rate": "how fast, in 5 % steps; null: not at all"}
    assert field_help(Section) == {"files": "what to read"}
    assert field_help(Longer) == {"files": "what to write", "left": "how far", "right": "how far"}


# -------------------------------------------------------------------- explain


def test_explain_names_the_backend_and_why_not_the_others(capsys):
    out = prints(
        capsys,
        "explain",
        "--cell",
        "peephole_lstm",
        "--hidden-size",
        "5",
        "--bidirectional",
        "--dropout",
        "0.1",
    )
    rows = {line.split()[0]: line.split()[1:3] for line in out.splitlines()[1:]}
    compiled = rows["cpu"][0] == "yes"
    assert rows["cpu"] == (["yes", "yes"] if compiled else ["no", "no"])
    assert rows["reference"] == ["yes", "no" if compiled else "yes"]
    assert rows["vendor"] == ["no", "no"]
    out = prints(capsys, "explain", "--cell", "lstm", "--ragged")
    chosen = [line.split()[0] for line in out.splitlines() if line.split()[1:3] == ["yes", "yes"]]
    assert chosen == ["cpu" if compiled else "vendor"]
    assert "zoneout" in prints(capsys, "explain", "--cell", "lstm", "--zoneout", "{c: 0.1}")


def test_selfcheck_compares_and_fails_where_a_backend_is_wrong(capsys, monkeypatch):
    out = prints(capsys, "selfcheck", "--cell", "elman")
    assert "agree with the reference" in out
    assert "gpu did not run: it runs on CUDA devices" in out
    assert {line.split()[1] for line in out.splitlines() if line.endswith("right")} >= {"vendor"}

    from recurra.engine import vendor

    right = vendor.run
    monkeypatch.setattr(
        vendor, "run", lambda call: replace(result := right(call), outputs=result.outputs * 1.001)
    )
    assert main(["selfcheck", "--cell", "elman"]) == 1
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")
def test_bench_cells_prints_a_table_and_draws_it(capsys, tmp_path):
    picture = tmp_path / "cells.png"
    for cell, peers in (("lstm", ["torch", "torch packed"]), ("gru", ["loop", "reference"])):
        out = prints(
            capsys,
            "bench",
            "cells",
            "--cell",
            cell,
            "--shapes",
            "3x2x8,2x3x8",
            "--repeats",
            "1",
            "--out",
            str(picture),
        )
        assert picture.read_bytes().startswith(b"\x89PNG")
        for peer in peers:
            ours = "generated ragged" if "packed" in peer else "generated"
            assert f"{cell} {ours} over {peer}: " in out
    for options in (["--shapes", "3x2"], ["--repeats", "0"], ["--out", "cells.jpg"]):
        assert main(["bench", "cells", *options]) == 2


def test_explain_prints_equations_latex_and_code(capsys):
    assert "d_c' += d_h' * output" in prints(capsys, "explain", "--equations")
    assert r"\odot" in prints(capsys, "explain", "--latex")
    code = prints(capsys, "explain", "--cell", "gru", "--show-code", "--dtype", "float64")
    assert "#define REAL double" in code
    assert "//   d_h = d_h' * (1 - update)" in code
    assert "tl.program_id" in prints(capsys, "explain", "--cell", "gru", "--show-code", "--device", "cuda")


def test_explain_prints_equations_of_a_users_cell(capsys, folder):
    out = prints(capsys, "explain", "--cell", f"{folder / 'mine.py'}:Leaky", "--equations")
    assert "tanh(W_candidate [h, x] + b_candidate)" in out


# -------------------------------------------------------------------- train, resume, evaluate


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


def test_evaluate(capsys, run, folder):
    out = prints(capsys, "evaluate", run)
    assert "perplexity = exp(sum of -ln P / tokens)" in out
    own = json.loads(prints(capsys, "evaluate", run, "--json"))
    assert own["tokens"] == len(TEXT) - int(len(TEXT) * 0.9)
    whole = json.loads(prints(capsys, "evaluate", run, "--json", "--data.test", str(folder / "fruit.txt")))
    assert whole["tokens"] == whole["characters"] == len(TEXT)
    assert "gone.txt" in fails(capsys, "evaluate", run, "--data.test", "gone.txt")


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
    assert f"`recurra resume {path}` goes on" in err
    assert "perplexity" in prints(capsys, "evaluate", str(path))


def test_a_users_cell_is_named_on_the_command_line_only(capsys, folder, tmp_path):
    path, cell = str(tmp_path / "run"), f"{folder / 'mine.py'}:Leaky"
    arguments = ["--data.train", str(folder / "fruit.txt"), "--model.cell", cell, "--out", path, *SMALL]
    assert main(["train", "lm", *arguments]) == 0
    assert "--model.cell FILE.py:Leaky" in fails(capsys, "sample", path)
    for verb in (["sample", "--max-length", "3"], ["evaluate"], ["resume"]):
        assert prints(capsys, verb[0], path, *verb[1:], "--model.cell", cell)


# -------------------------------------------------------------------- sample


def test_samples_are_printed_apart(capsys, run):
    out = prints(capsys, "sample", run, "--prompt", "the ", "--n", "3", "--max-length", "20", "--seed", "1")
    assert out.count("-" * 20 + "\n") == 2
    assert out.startswith("the ")
    assert (
        prints(capsys, "sample", run, "--prompt", "the ", "--n", "3", "--max-length", "20", "--seed", "1")
        == out
    )


def test_samples_as_json(capsys, run):
    arguments = ["--prompt", "the ", "--n", "4", "--max-length", "9", "--seed", "3", "--json"]
    records = [json.loads(line) for line in prints(capsys, "sample", run, *arguments).splitlines()]
    assert [record["sample"] for record in records] == [0, 1, 2, 3]
    for record in records:
        assert record["text"].startswith("the ")
        assert len(record["text"]) == 4 + record["tokens"] == 13
        assert record["log_prob"] < 0
        assert record["stopped"] is False
    assert len({record["text"] for record in records}) > 1


def test_samples_stop_at_a_line_end_where_asked_or_where_lines_are_apart(capsys, run, lines_run):
    arguments = ["--n", "20", "--max-length", "300", "--seed", "3", "--temperature", "1.5"]
    out = prints(capsys, "sample", run, *arguments, "--stop-at-line-end")
    assert len(out.splitlines()) == 20
    out = prints(capsys, "sample", lines_run, *arguments)
    assert len(out.splitlines()) == 20
    assert set(out.split()) <= set(TEXT.split())


def test_sampling_talks_on_a_terminal(run):
    """A pseudo-terminal: two prompts, each gone on with, then the end of input."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command("sample", run, "--max-length", "6", "--seed", "1"),
        stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, env=environment(),
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"the app\nsalad\n\x04")
    shown = b""
    while True:
        try:
            data = os.read(master, 4096)
        except OSError:  # the terminal closes with its last process
            break
        if not data:
            break
        shown += data
    os.close(master)
    assert process.wait(timeout=60) == 0
    lines = shown.decode().replace("\r", "").splitlines()
    written = [line for line in lines if len(line) == len("the app") + 6 or len(line) == len("salad") + 6]
    assert any(line.startswith("the app") for line in written), lines
    assert any(line.startswith("salad") for line in written), lines


def test_a_prompt_of_foreign_bytes_is_refused(capsys, run):
    assert "--prompt: expected text" in fails(capsys, "sample", run, "--prompt", "a\udcff")


# -------------------------------------------------------------------- score


def test_scores_of_lines_are_those_of_python(capsys, monkeypatch, run):
    loaded = recurra.load(run)
    feed(monkeypatch, b"the apple\n\r\nsalad")
    records = [json.loads(line) for line in prints(capsys, "score", run, "--json", "--tokens").splitlines()]
    assert [record["text"] for record in records] == ["the apple", "", "salad"]
    for record, expected in zip(records, loaded.score(["the apple", "", "salad"]), strict=True):
        assert record["log_prob"] == pytest.approx(expected.log_prob, rel=1e-6)
        assert record["perplexity"] == pytest.approx(expected.perplexity, rel=1e-6)
        assert record["tokens"] == len(record["text"]) + 1 == len(record["token_log_probs"])
        assert sum(share for _, share in record["token_log_probs"]) == pytest.approx(
            record["log_prob"], rel=1e-9
        )


def test_scores_of_a_file_equal_those_of_standard_input(capsys, monkeypatch, folder, run):
    text = "the apple\n\nsalad and pear\n"
    (folder / "lines.txt").write_text(text)
    out = prints(capsys, "score", run, str(folder / "lines.txt"))
    assert [line.split()[3:] for line in out.splitlines()] == [line.split() for line in text.splitlines()]
    for mark in ("", "\ufeff"):  # a byte order mark is no part of a text
        feed(monkeypatch, (mark + text).encode())
        assert prints(capsys, "score", run) == out
    out = prints(capsys, "score", run, str(folder / "lines.txt"), "--tokens")
    assert len(out.splitlines()) == 3 + len(text)


def test_the_most_probable_alternative_is_chosen(capsys, monkeypatch, run):
    data = b"zzzzzz\tthe apple\nthe pear\txqxqxq\nonly\n"
    feed(monkeypatch, data)
    assert prints(capsys, "score", run, "--choose").splitlines() == ["the apple", "the pear", "only"]
    feed(monkeypatch, data)
    records = [json.loads(line) for line in prints(capsys, "score", run, "--choose", "--json").splitlines()]
    assert [record["best"] for record in records] == [1, 0, 0]
    assert [len(record["alternatives"]) for record in records] == [2, 2, 1]


def test_a_wrongly_encoded_line_is_named(capsys, monkeypatch, run):
    feed(monkeypatch, b"abc\nab\xffc\n")
    assert main(["score", run]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1  # the line before it was scored
    assert "standard input, line 2: not UTF-8 (byte 0xff at column 3)" in err


def test_lines_are_scored_as_they_come(run):
    process = subprocess.Popen(
        command("score", run), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    for line in (b"the apple\n", b"salad\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline().endswith(line)  # while standard input is still open
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    process.stdin.close()
    process.stdout.close()


def test_a_closed_pipe_ends_quietly(run):
    process = subprocess.Popen(
        command("sample", run, "--n", "5000", "--max-length", "50"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_bug_keeps_its_traceback(run, tmp_path):
    """A run whose vocabulary cannot be opened is the user's to mend; anything unforeseen is not hidden."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "model.safetensors").write_bytes(b"\0" * 30)
    done = subprocess.run(
        command("sample", str(copy)), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    code = "from recurra import cli; cli.VERBS = (cli.Verb('sample', '', 'operator:truediv'),); cli.main(['sample'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
