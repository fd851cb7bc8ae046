"""`recurra score`: what predictions of a language model are."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest

import recurra
from commands import command, environment, feed, prints
from recurra.cli import main


def test_scores_of_lines_are_those_of_python(capsys, monkeypatch, run):
    loaded = recurra.load(run)
    feed(monkeypatch, b"the apple\n\r\nsalad")
    records = [json.loads(line) for line in prints(capsys, "score", run, "--json", "--tokens").splitlines()]
    assert [record["text"] for record in records] == ["the apple", "", "salad"]
    for record, expected in zip(records, loaded.predict(["the apple", "", "salad"]), strict=True):
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
