"""`recurra score`: what predictions of a language model are."""

from __future__ import annotations

import json
import math
import signal
import subprocess

import pytest

import recurra
from cli.fruit import SMALL
from commands import command, environment, fails, feed, prints
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


def test_unknown_symbols_are_reported_with_their_share(capsys, monkeypatch, folder, run):
    note = "unknown to the vocabulary{}; each costs what <unk> does, so compare costs only over the same symbols.\n"
    feed(monkeypatch, "the äpple\nthe apple\n".encode())
    assert main(["score", run]) == 0
    assert capsys.readouterr().err == f"recurra: 1 of 20 symbols (5 %) is {note.format(', in 1 line')}"
    feed(monkeypatch, "ä\tthe\nthe\n".encode())
    assert main(["score", run, "--choose"]) == 0
    assert "recurra: 1 of 10 symbols (10 %) is unknown" in capsys.readouterr().err
    (folder / "unknown.txt").write_text("the äpple\n" * 10)
    assert main(["evaluate", run, "--data.test", str(folder / "unknown.txt"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == f"recurra: 10 of 100 symbols (10 %) are {note.format('')}"
    assert json.loads(out)["unknown"] == 10


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


@pytest.fixture(scope="module")
def bytes_runs(folder):
    """Runs of bytes, by their layout."""
    (folder / "all_bytes").write_bytes(bytes(range(256)) * 8 + b"text\r\n" * 40)
    runs = {}
    for layout in ("lines", "continuous"):
        runs[layout] = str(folder / f"bytes_{layout}")
        files = ["--data.train", str(folder / "all_bytes"), "--data.layout", layout]
        arguments = [*files, "--data.vocabulary", "bytes", "--out", runs[layout], *SMALL]
        assert main(["train", "lm", *arguments, "--training.steps", "3"]) == 0
    return runs


@pytest.mark.parametrize(
    "data",
    [
        "äpfel\nund birnen".encode("latin-1"),
        "\ufeffäpfel\n\n€\u2028\x85\n".encode(),
        b"a\r\nb\rc\r\n\r",
        b"\0\n\x00\x1f\x8b\n",
        b"\xff\xfea\0\n\0",
    ],
)
def test_scores_of_bytes_add_up_to_their_evaluation(capsys, monkeypatch, folder, bytes_runs, data):
    file = folder / "some_bytes"
    file.write_bytes(data)
    run = bytes_runs["lines"]
    nats = json.loads(prints(capsys, "evaluate", run, "--data.test", str(file), "--json"))
    feed(monkeypatch, data)
    for arguments in ([str(file)], []):
        out = prints(capsys, "score", run, *arguments, "--json")
        records = [json.loads(line) for line in out.removesuffix("\n").split("\n")]
        assert len(records) == data.count(b"\n") + (not data.endswith(b"\n"))
        assert sum(record["tokens"] for record in records) == nats["tokens"]
        total = -sum(record["log_prob"] for record in records)
        assert total == pytest.approx(nats["tokens"] * math.log(nats["perplexity"]), rel=1e-5)
    one = data.split(b"\n")[0] + b"\n"
    file.write_bytes(one)
    run = bytes_runs["continuous"]  # whose state goes on from line to line, so that one line only is the same
    nats = json.loads(prints(capsys, "evaluate", run, "--data.test", str(file), "--json"))
    record = json.loads(prints(capsys, "score", run, str(file), "--json"))
    assert -record["log_prob"] == pytest.approx(nats["tokens"] * math.log(nats["perplexity"]), rel=1e-5)


def test_bytes_have_no_encoding(capsys, monkeypatch, bytes_runs):
    feed(monkeypatch, b"a\n")
    assert "reads bytes as they are" in fails(
        capsys, "score", bytes_runs["lines"], "--data.encoding", "latin-1"
    )
