"""Opening and unpacking input files: what is read, and the one line for each way to fail."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib

import pytest

from recurra.data import files
from recurra.data.files import read_bytes, shown_path, unpacked
from recurra.errors import DataError


def failure(path) -> str:
    with pytest.raises(DataError) as caught:
        read_bytes(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 500
    assert message.isprintable()
    return message


def test_a_gzip_of_several_members_with_zeros_after_it_is_read():
    parts = [b"", b"one\n", os.urandom(3 << 20), b"three"]
    packed = b"".join(map(gzip.compress, parts))
    assert unpacked(packed, "a") == b"".join(parts)
    assert unpacked(packed + bytes(1000), "a") == b"".join(parts)
    many = gzip.compress(b"x" * 100) * 20_000  # as bgzip writes: the time must not grow with the square
    begin = time.perf_counter()
    assert unpacked(many, "a") == b"x" * 2_000_000
    assert time.perf_counter() - begin < 5


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    (tmp_path / "bomb.gz").write_bytes(bomb)
    tracemalloc.start()
    message = failure(tmp_path / "bomb.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "unpacks to more than 64 MiB, 200 times its size or more" in message
    assert "gzip -d FILE" in message
    assert peak < 100 << 20
    monkeypatch.setattr(files, "UNPACKED_ALWAYS", 256 << 20)
    assert len(read_bytes(tmp_path / "bomb.gz")) == 200 << 20  # a small multiple in no more than it takes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "expected the name of a file, got an empty one"),
        ("a\0b", r"'a\x00b': cannot be read (embedded null byte)"),
        ("x" * 300, "cannot be read (File name too long)"),
        (
            "corpus.txt,b.txt",
            "corpus.txt,b.txt: no such file. Give several files with spaces between: corpus.txt b.txt",
        ),
        ("a\udcff", r"'a\udcff': no such file"),
        ("a\nb", r"'a\nb': no such file"),
        ("corpsu.txt", "corpsu.txt: no such file. Did you mean 'corpus.txt'?"),
        ("broken", "broken: a link to gone, which does not exist"),
        ("loop", "loop: cannot be read (Too many levels of symbolic links)"),
        ("folder", "folder: a directory; expected a file"),
        ("corpus.txt/x", "corpus.txt/x: cannot be read (Not a directory)"),
        ("socket", "socket: a socket; expected a file"),
        ("/dev/zero", "/dev/zero: a device or terminal, which has no end"),
        ("/dev/null", "/dev/null: the file is empty"),
        ("huge", "huge: has 2,097,152.0 GiB, and this machine"),
    ],
)
def test_what_is_no_file_of_bytes_is_one_line(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text("text")
    (tmp_path / "broken").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind("socket")
    try:
        if name == "huge":
            monkeypatch.setattr(files, "_memory", lambda: 1 << 30)
            (tmp_path / "huge").write_bytes(b"")
            monkeypatch.setattr(os, "fstat", lambda _: os.stat_result((0o100644, *[0] * 5, 1 << 51, 0, 0, 0)))
        assert message in failure(name)
    finally:
        listening.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_line(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0)
    assert "cannot be read (Permission denied)" in failure(tmp_path / "a")


def test_a_terminal_is_no_file():
    master, slave = os.openpty()
    try:
        assert "a device or terminal" in failure(os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)


def test_a_named_pipe_is_read_to_its_end_however_slowly_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.5)
    os.mkfifo(tmp_path / "pipe")
    data = os.urandom(300_000)

    def write() -> None:
        time.sleep(0.2)
        with (tmp_path / "pipe").open("wb") as pipe:
            time.sleep(0.7)  # longer than a pipe may have no writer
            pipe.write(data[:100_000])
            pipe.flush()
            time.sleep(0.1)
            pipe.write(data[100_000:])

    writer = threading.Thread(target=write)
    writer.start()
    assert read_bytes(tmp_path / "pipe") == data
    writer.join()


def test_a_named_pipe_that_nobody_writes_to_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.2)
    os.mkfifo(tmp_path / "pipe")
    assert "a named pipe to which nobody has written for 0.2 seconds" in failure(tmp_path / "pipe")
    silent = threading.Thread(target=lambda: (tmp_path / "pipe").open("wb").close())
    silent.start()  # a writer that writes nothing: the end comes at once
    monkeypatch.setattr(files, "PIPE_SECONDS", 60)
    assert "the file is empty" in failure(tmp_path / "pipe")
    silent.join()


def test_process_substitution_and_standard_input_by_name_are_read(tmp_path):
    code = "import sys; from recurra.data.files import read_bytes; print(sum(len(read_bytes(p)) for p in sys.argv[1:]))"
    script = f"{sys.executable} -c '{code}' <(seq 1000; sleep 0.2; seq 10) <(seq 10 | gzip) /dev/stdin"
    (tmp_path / "nine").write_text("123456789")
    for command in (f"printf 123456789 | {script}", f"{script} < {tmp_path / 'nine'}"):
        shell = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60)
        assert int(shell.stdout) == 3893 + 21 + 21 + 9


def test_an_endless_pipe_ends_at_what_memory_holds(monkeypatch):
    monkeypatch.setattr(files, "_memory", lambda: 8 << 20)
    with pytest.raises(DataError, match=r"has more than 0\.0 GiB"):
        files.read_to_end(lambda size: b"y\n" * (size // 2), "standard input")


def test_paths_are_shown_on_one_short_line():
    assert shown_path("runs/größe.txt") == "runs/größe.txt"
    assert shown_path("") == "''"
    assert len(shown_path("x" * 5000)) <= 220
    assert shown_path("a\udcff\n") == r"'a\udcff\n'"
