"""`recurra sample`."""

from __future__ import annotations

import json
import os
import pty
import subprocess

from cli.fruit import TEXT
from commands import command, environment, fails, prints


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
