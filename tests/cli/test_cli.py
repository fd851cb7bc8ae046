"""The command line as a whole: help, verbs, exit codes."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from commands import command, environment, fails, prints
from recurra import cli
from recurra.cli import main, verbs
from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS
from torch_free import run_torch_free


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_the_verbs(capsys, arguments):
    out = prints(capsys, *arguments)
    assert all(verb.words in out and verb.summary in out for verb in verbs())


@pytest.mark.parametrize("arguments", [["--help"], *(["train", name, "--help"] for name in TASKS)])
def test_help_does_not_wait_for_torch(arguments):
    code = f"""
import sys
from recurra.cli import main
try:
    main({arguments})
except SystemExit as ended:
    assert not ended.code
sys.exit('torch' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"usage: recurra ")


@pytest.mark.parametrize("verb", verbs(), ids=lambda verb: verb.words)
def test_each_verb_has_help(capsys, verb):
    with pytest.raises(SystemExit) as ended:
        main([*verb.words.split(), "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: recurra {verb.words} ")
    assert "%%" not in out
    assert "Literal" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], "Did you mean `recurra train`?"),
        (["frobnicate"], "`recurra --help` lists the verbs"),
        (["train"], "train: expected one of lm, translate after it, got nothing"),
        (["train", "--data.train", "x"], "train: expected one of lm, translate after it, got '--data.train'"),
        (["inspect", "gradient"], "Did you mean 'gradients'?"),
        (["sample"], "give a run folder: recurra sample RUN"),
        (["sample", "no/such"], "no/such: no such run directory"),
        (["resume", "no/such"], "no/such: no such run directory"),
        (["evaluate", "run", "extra"], "'extra': not expected here"),
        (["sample", "run", "--temprature", "1"], "Did you mean --temperature?"),
        (["sample", "run", "--n", "many"], "--n: expected a whole number, got 'many'"),
        (["sample", "run", "--top-k", "1.5"], "--top-k: expected a whole number or none, got '1.5'"),
        (["sample", "run", "--max-length"], "--max-length: expected a value, got none"),
        (
            ["sample", "run", "--temperature", "-1"],
            "--temperature: expected a number of at least 0, got -1.0",
        ),
        (["sample", "run", "--json=1"], "--json: takes no value, got '1'; write --json alone"),
        (["sample", "run", "--n", "1e3"], "--n: expected a whole number, got '1e3'"),
        (["sample", ""], "RUN: expected a file or folder, got an empty text"),
        (["sample", "~/run"], "RUN: got '~/run', in which the shell has put no home folder"),
        (["train", "lm", "--out", ""], "--out: expected a file or folder, got an empty text"),
        (["train", "lm", "--out=~/run"], "--out: got '~/run', in which the shell has put no home folder"),
        (
            ["train", "lm", "--out", "run", "--data.train", ""],
            "--data.train: expected a file or folder, got an",
        ),
        (["--out", "run", "train", "lm"], "The verb comes first: recurra train lm ..."),
        (["inspect", "gates", "x" * 5000], "cannot be opened (File name too long)"),
        (
            ["bench", "cells", "--threads", "1" + "0" * 12],
            "--threads: expected a whole number from 1 to 1024, got",
        ),
        (["bench", "cells", "--shapes", f"1x1x1{'0' * 30}"], "--shapes: expected TxBxH"),
        (["selfcheck", "--seed", "1" + "0" * 30], "--seed: expected a whole number below 2^63, got 1"),
        (["explain", "--cell", "lsmt"], "Did you mean 'lstm'?"),
        (["explain", "--cell", "none.py:Mine"], "there is no file none.py"),
        (["explain", "--hidden-size", "0"], "--hidden-size: expected a whole number of at least 1, got 0"),
        (["explain", "--dropout", "1"], "--dropout: expected a probability"),
        (
            ["explain", "--device", "cuda0"],
            "--device: expected one of cpu, cuda, got 'cuda0'. Did you mean 'cuda'?",
        ),
    ],
)
def test_wrong_arguments_give_one_line(capsys, arguments, says):
    assert says in fails(capsys, *arguments)


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
    """A run whose vocabulary cannot be opened is the user's to fix; anything unforeseen is not hidden."""
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "model.safetensors").write_bytes(b"\0" * 30)
    done = subprocess.run(
        command("sample", str(copy)), env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    verb = "cli.Verb('sample', '', 'operator:truediv')"
    code = f"from recurra import cli\ncli.verbs = lambda: [{verb}]\nraise SystemExit(cli.main(['sample', 'a b']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    first, _, rest = done.stderr.partition("\n")
    assert first.startswith("recurra: this is a bug of recurra ")
    assert first.endswith("The command was: recurra sample 'a b'")
    assert rest.startswith("Traceback")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("Storage size calculation overflowed with sizes=[9]\nmore"),
    ],
)
def test_too_little_memory_is_no_bug(monkeypatch, capsys, error):
    def fail(arguments):
        raise error

    monkeypatch.setattr(cli.Verb, "call", lambda self, arguments: fail(arguments))
    line = fails(capsys, "sample", "run")
    assert "not enough memory for these sizes" in line


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import sys\nsys.exit(3)\n", "mine.py, line 2: SystemExit: 3."),
        ("def f():\n    return 1 / 0\n\nf()\n", "mine.py, line 2: ZeroDivisionError: division by zero."),
        ("raise RuntimeError('a\\nb' * 1000)", "mine.py, line 1: RuntimeError: a"),
    ],
)
def test_an_error_in_the_code_of_a_cell_is_no_bug_of_recurra(capsys, tmp_path, code, says):
    (tmp_path / "mine.py").write_text(code)
    assert says in fails(capsys, "explain", "--cell", f"{tmp_path / 'mine.py'}:Mine")


def test_the_memory_that_was_asked_for_is_named(monkeypatch, capsys):
    def fail(self, arguments):
        raise RuntimeError(
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 10737418240 bytes."
        )

    monkeypatch.setattr(cli.Verb, "call", fail)
    assert "(10.0 GiB were asked for at once)" in fails(capsys, "sample", "run")


def test_a_message_is_one_line_that_can_be_read(monkeypatch, capsys):
    def fail(self, arguments):
        raise ConfigError("a\nb: " + "x" * 10_000 + " the end")

    monkeypatch.setattr(cli.Verb, "call", fail)
    line = fails(capsys, "sample", "run")
    assert len(line) <= 500
    assert line.startswith("a b: x")
    assert line.endswith("the end")


MISSING = [
    "evaluate missing",
    "predict missing",
    "score missing",
    "sample missing",
    "resume missing",
    "average missing --out mean",
    "inspect gates missing",
    "inspect attention missing --source x",
    "train lm --data.train missing --out run",
    "train translate --nonsense",
    "nonsense",
]


def test_help_and_what_is_missing_wait_for_no_torch():
    run_torch_free(f"""
        from contextlib import redirect_stderr, redirect_stdout
        from io import StringIO
        from recurra.cli import main, verbs
        for words in {MISSING!r}:
            said = StringIO()
            with redirect_stderr(said):
                assert main(words.split()) == 2, words
            assert said.getvalue().count(chr(10)) == 1, said.getvalue()
        for words in ("train lm", "train translate", "resume", "evaluate", "predict", "sample", "bleu", "average"):
            for help in ("--help", "--help-all") if words.startswith("train") else ("--help",):
                with redirect_stdout(StringIO()):
                    try:
                        main([*words.split(), help])
                    except SystemExit:
                        pass
    """)
