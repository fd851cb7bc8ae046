"""Standard streams that are closed, full, broken, non-blocking or in another encoding: one line, or the same output."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
import threading
import time

import pytest

from cli.fruit import SMALL
from commands import command, environment

FULL = "recurra: standard output: could not be written (No space left on device).\n"
CLOSED = "recurra: standard output is closed; redirect it to a file, or to /dev/null.\n"


def shell(line: str, *arguments: str, **more: str) -> tuple[int, bytes, str]:
    """Exit code, standard output and standard error of a line in which `$@` is the command."""
    done = subprocess.run(
        ["bash", "-c", line, "bash", *command(*arguments)],
        env=environment() | more, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode("utf-8", errors="surrogateescape")


@pytest.mark.parametrize("arguments", [("--version",), ("score", "--help"), ("bleu", "two", "two")])
def test_output_that_cannot_be_written_is_one_line(folder, arguments):
    """Also where it is only the last flush that fails, and where the parser ends the command."""
    (folder / "two").write_text("a b c d\na b c\n")
    given = [str(folder / "two") if argument == "two" else argument for argument in arguments]
    assert shell('"$@" > /dev/full', *given) == (2, b"", FULL)


@pytest.mark.parametrize("verb", ["score", "sample", "evaluate", "predict", "bleu", "train"])
def test_closed_output_is_refused_before_any_work(run, tmp_path, verb):
    arguments = {"bleu": ["-", "x"], "train": ["lm", "--out", str(tmp_path / "new")]}.get(verb, [run])
    assert shell('"$@" >&-', verb, *arguments) == (2, b"", CLOSED)
    assert shell('"$@" >&- 2>&-', verb, *arguments) == (2, b"", "")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("arguments", [("score", "RUN"), ("bleu", "-", "x")])
def test_closed_input_is_one_line(run, arguments):
    given = [run if argument == "RUN" else argument for argument in arguments]
    code, out, err = shell('"$@" <&-', *given)
    assert (code, out, err) == (2, b"", "recurra: standard input is closed; name a file, or give < FILE.\n")


def test_input_that_is_not_needed_may_be_closed(run):
    code, out, _ = shell('"$@" <&-', "sample", run, "--max-length", "5", "--seed", "1")
    assert (code, len(out)) == (0, 6)


def test_training_goes_on_though_nobody_can_read_its_progress(folder, tmp_path):
    arguments = ["lm", "--data.train", str(folder / "fruit.txt"), "--out", str(tmp_path / "run"), *SMALL]
    code, shown, _ = shell('"$@" 2> /dev/full', "train", *arguments)
    assert code == 0
    assert b"valid_loss" in shown


@pytest.mark.parametrize("where", ["2>&-", "2> /dev/full", "2> >(exec true)", "2</dev/null"])
def test_messages_that_cannot_be_written_leave_the_exit_code(where):
    assert shell(f'sleep 0.1; "$@" {where}', "nope")[:2] == (2, b"")


def test_no_file_takes_the_number_of_a_closed_stream(tmp_path):
    """What is written to a closed standard error must not end up in a file that was opened since."""
    code = """
import os, sys
from recurra.cli import streams
streams.prepare()
with open(sys.argv[1], "w") as file:
    os.write(2, b"a warning of some library")
    file.write("data")
"""
    path = str(tmp_path / "file")
    line = ["bash", "-c", '"$@" <&- 2>&-', "bash", *command()[:1], "-c", code, path]
    subprocess.run(line, env=environment(), check=True, timeout=60)
    assert (tmp_path / "file").read_text() == "data"


def test_output_is_utf_8_in_every_locale(tmp_path, run):
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    (tmp_path / "one").write_text("the größe\n")
    line = f'cd {tmp_path}; "$@"'
    usual, plain = (shell(line, "bleu", "one", "one", "--sentence", **more) for more in ({}, ascii_only))
    assert usual == plain
    assert usual[1].splitlines()[1].endswith("the größe".encode())
    # A file name that is no text.
    code, _, err = shell("\"$@\" $'no\\xff\\xc3\\xa9' x", "bleu", **ascii_only)
    assert code == 2
    assert err == "recurra: 'no\\udcff\\udcc3\\udca9': no such file.\n"
    code, _, err = shell("printf 'the größe\\n' | \"$@\"", "sample", run, "--max-length", "2", **ascii_only)
    assert (code, err) == (
        0,
        "recurra: 3 of 9 symbols (33.3 %) of the prompt are unknown to the vocabulary: 'g', 'ö', 'ß'.\n",
    )


def test_streams_that_another_process_made_non_blocking_are_waited_for(run):
    """Input that comes late is read, and output that is read late is written."""
    lines = 3000
    in_read, in_write = os.pipe()
    out_read, out_write = os.pipe()
    for descriptor in (in_read, out_write):
        os.set_blocking(descriptor, False)
    fcntl.fcntl(out_write, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(
        command("score", run), stdin=in_read, stdout=out_write, stderr=subprocess.PIPE, env=environment()
    )
    for descriptor in (in_read, out_write):
        os.close(descriptor)

    def write() -> None:
        with os.fdopen(in_write, "wb") as stream:
            for _ in range(3):
                time.sleep(0.3)
                stream.write(b"the\n" * (lines // 3))
                stream.flush()

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(out_read, "rb") as stream:
        time.sleep(1.5)
        shown = stream.read()
    writer.join()
    assert process.wait(timeout=60) == 0, process.stderr.read()
    process.stderr.close()
    assert shown.count(b"\n") == lines


def test_a_table_is_drawn_on_terminals_of_every_kind(folder):
    """One that reports no width, one that is dumb, and one without colours."""
    master, slave = pty.openpty()
    assert termios.tcgetwinsize(slave) == (0, 0)
    (folder / "two").write_text("a b c d\na b c\n")
    for more in ({}, {"TERM": "dumb", "NO_COLOR": "1"}, {"COLUMNS": "0"}, {"COLUMNS": "many"}):
        done = subprocess.run(
            command("bleu", str(folder / "two"), str(folder / "two")),
            stdin=slave, stdout=slave, stderr=subprocess.PIPE, env=environment() | more, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        shown = b""
        while b"sacrebleu" not in shown:
            shown += os.read(master, 1 << 16)
        assert b"brevity penalty" in shown
    os.close(slave)
    os.close(master)
