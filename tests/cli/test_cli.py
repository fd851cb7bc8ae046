"""The command line as a whole: help, verbs, exit codes."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from commands import command, environment, fails, prints
from recurra.cli import main, verbs
from recurra.tasks.registry import TASKS


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
        (["trian"], "Did you mean 'train'?"),
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
    code = f"from recurra import cli\ncli.verbs = lambda: [{verb}]\ncli.main(['sample'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
