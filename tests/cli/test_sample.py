"""`recurra sample`."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cli.fruit import TEXT
from commands import command, environment, fails, prints
from recurra.cli import main, streams


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
    """A pseudo-terminal: two prompts, each continued, then the end of input."""
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


@pytest.fixture
def piped(monkeypatch):
    """Connects a pipe with some data in it to standard input; `closed`: and nothing will follow them."""
    with contextlib.ExitStack() as opened:

        def connect(data: bytes, closed: bool = True) -> None:
            reads, writes = os.pipe()
            os.write(writes, data)
            monkeypatch.setattr(sys, "stdin", opened.enter_context(os.fdopen(reads, encoding="utf-8")))
            writer = opened.enter_context(os.fdopen(writes, "wb"))
            if closed:
                writer.close()

        yield connect


def test_prompts_come_from_a_pipe_one_per_line(capsys, monkeypatch, piped, run, folder):
    arguments = ["sample", run, "--n", "2", "--max-length", "4", "--seed", "1", "--json"]
    data = b"the apple\r\n\nthe pe"
    piped(data)
    records = [json.loads(line) for line in prints(capsys, *arguments).splitlines()]
    assert [record["prompt"] for record in records] == ["the apple"] * 2 + [""] * 2 + ["the pe"] * 2
    assert [record["sample"] for record in records] == [0, 1] * 3
    for prompt in ("the apple", "the pe"):  # each as by --prompt
        alone = [json.loads(line) for line in prints(capsys, *arguments, "--prompt", prompt).splitlines()]
        assert alone == [record for record in records if record["prompt"] == prompt]
    (folder / "prompts").write_bytes(data)
    assert len(prints(capsys, *arguments, "--prompts", str(folder / "prompts")).splitlines()) == 6
    with (folder / "prompts").open(encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert len(prints(capsys, *arguments).splitlines()) == 6
    piped(data)
    assert len(prints(capsys, *arguments, "--prompts", "-").splitlines()) == 6


def test_input_without_prompts_is_none(capsys, monkeypatch, piped, run):
    """A pipe that is empty, one that stays open and gives nothing, and a device: one sample without a prompt."""
    arguments = ["sample", run, "--max-length", "4", "--seed", "1"]
    piped(b"")
    assert len(prints(capsys, *arguments)) == 5
    piped(b"the\n")
    assert len(prints(capsys, *arguments, "--prompt", "")) == 5  # --prompt leaves standard input alone
    with Path(os.devnull).open(encoding="utf-8") as null:
        monkeypatch.setattr(sys, "stdin", null)
        assert len(prints(capsys, *arguments)) == 5
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.1)
    piped(b"", closed=False)
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert len(out) == 5
    assert err.startswith("recurra: standard input is a pipe that has given nothing for 0.1 seconds")
    piped(b"")
    assert main([*arguments, "--prompts", "-"]) == 0
    assert capsys.readouterr() == ("", "recurra: standard input holds no prompt.\n")


def test_what_of_a_prompt_is_unknown_is_reported(capsys, run):
    assert main(["sample", run, "--prompt", "thé Zß", "--max-length", "2"]) == 0
    err = capsys.readouterr().err
    assert (
        err == "recurra: 3 of 6 symbols (50 %) of the prompt are unknown to the vocabulary: 'é', 'Z', 'ß'.\n"
    )


def test_a_bad_prompt_is_named_by_its_line(capsys, piped, run):
    piped(b"ok\nb\xffd\n")
    assert main(["sample", run, "--max-length", "2"]) == 2
    assert "standard input, line 2: not UTF-8 (byte 0xff at column 2)" in capsys.readouterr().err
    piped(gzip.compress(b"the\n"))
    assert "standard input is a file packed by gzip" in fails(capsys, "sample", run)
    assert "drop one" in fails(capsys, "sample", run, "--prompt", "a", "--prompts", "-")


def test_bytes_are_written_as_they_were_drawn(capsysbinary, folder, run):
    (folder / "bytes").write_bytes(bytes(range(256)) * 8)
    path = str(folder / "bytes_run")
    files = ["--data.train", str(folder / "bytes"), "--data.vocabulary", "bytes"]
    sizes = [
        "--training.steps",
        "1",
        "--training.batch_size",
        "2",
        "--training.bptt",
        "8",
        "--model.hidden_size",
        "4",
    ]
    assert main(["train", "lm", *files, *sizes, "--out", path]) == 0
    capsysbinary.readouterr()
    assert (
        main(["sample", path, "--raw", "--n", "2", "--max-length", "200", "--seed", "1", "--prompt", "é"])
        == 0
    )
    out = capsysbinary.readouterr().out
    assert len(out) == 2 * 202
    assert out.startswith("é".encode())
    with pytest.raises(UnicodeDecodeError):
        out.decode()
    (folder / "byte_prompts").write_bytes(b"\xe4\r\n\0")  # as they are, without an encoding
    few = ["--max-length", "3", "--seed", "1", "--prompts", str(folder / "byte_prompts")]
    assert main(["sample", path, "--raw", *few]) == 0
    out = capsysbinary.readouterr().out
    assert (len(out), out[:2], out[5:6]) == (9, b"\xe4\r", b"\0")
    assert main(["sample", path, "--json", *few]) == 0
    prompts = [json.loads(line)["prompt"] for line in capsysbinary.readouterr().out.decode().splitlines()]
    assert prompts == ["\ufffd\r", "\0"]
    assert main(["sample", run, "--raw"]) == 2
    assert b"is no model of bytes" in capsysbinary.readouterr().err
    assert main(["sample", path, "--raw", "--json"]) == 2


def test_a_terminal_that_sends_a_broken_byte_is_asked_again(run):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command("sample", run, "--max-length", "6", "--seed", "1"),
        stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment() | {"LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    os.close(slave)
    os.write(master, b"bro\xffken\nsalad\n\x04")
    shown = b""
    with contextlib.suppress(OSError):  # the terminal closes with its last process
        while data := os.read(master, 4096):
            shown += data
    os.close(master)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"recurra: the prompt: expected text in the terminal's encoding" in err
    assert any(len(line) == len("salad") + 6 for line in shown.decode("latin-1").splitlines())
