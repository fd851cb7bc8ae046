"""Files that nobody should have to read, made by code: each a name and a function that writes one at a path."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

MAKE: dict[str, Callable[[Path], object]] = {}
PLACES: list[str] = []
"""Those of them that are not merely bytes: folders, links, pipes."""


def _bytes(name: str, data: bytes) -> None:
    MAKE[name] = lambda path: path.write_bytes(data)


def _function(make: Callable[[Path], object]) -> Callable[[Path], object]:
    name = make.__name__.strip("_").replace("_", " ")
    MAKE[name] = make
    PLACES.append(name)
    return make


_bytes("empty", b"")
_bytes("blank lines", b"\n \n\t\n")
_bytes("one NUL", b"\0")
_bytes("random bytes", bytes(range(256)) * 9)
_bytes("no UTF-8", b"a\nb \xff\xfe c\n")
_bytes("UTF-16", "plain text\n".encode("utf-16"))
_bytes("a mark in the middle", "a\n\ufeffb\n\ufeff\n".encode())
_bytes("old Macintosh", b"a\rb\rc")
_bytes("every line end", "a\rb\nc\r\nd\x85e\u2028f\x0bg\x0ch\x1ci".encode())
_bytes("one long line", b"word " * 200_000)
_bytes("one long word", b"x" * 1_000_000)
_bytes("ten thousand tabs", b"\t" * 10_000 + b"\n")
_bytes("a million lines", b"\n" * 1_000_000)
_bytes("UTF-8 cut short", "caf\u00e9".encode()[:-1])
_bytes("commands of a terminal", b"\x1b]0;title\x07\x1b[2J\n")
_bytes("lone surrogates", b"\xed\xa0\x80\n")
_bytes("deep JSON", b"[" * 100_000)
_bytes("deep object", b'{"a":' * 50_000)
_bytes("a JSON number", b"1" * 10_000)
_bytes("JSON that is infinite", b'{"step": Infinity, "a": NaN, "b": 1e999}')
_bytes("JSON surrogate", b'{"symbols": ["\\ud800"], "kind": "words", "format": 1}')
_bytes(
    "JSON of objects",
    json.dumps({key: {"a": []} for key in ("kind", "task", "format", "step", "model")}).encode(),
)
_bytes(
    "JSON of long texts",
    json.dumps(dict.fromkeys(("kind", "task", "format", "step"), "x" * 99999)).encode(),
)
_bytes("a JSON list", b"[1, 2, 3]")
_bytes("a JSON text", b'"text"')
_bytes(
    "YAML aliases",
    b"a: &a [1]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 122)),
)
_bytes("YAML tags", b"!!python/object/apply:os.system ['touch hacked']\n")
_bytes(
    "YAML numbers",
    b'model: {hidden_size: !!int "", cell: .nan}\ntraining: {steps: 1:30:00, seed: 2001-01-01}\n',
)
_bytes("YAML keys", b"? [a]\n: 1\n.nan: 2\n" + b"y" * 3_000 + b": 3\n")
_bytes("YAML brackets", b"{" * 5_000)
_bytes("gzip", gzip.compress(b"a b\tc d\n" * 9))
_bytes("half a gzip", gzip.compress(os.urandom(4_000))[:2_000])
_bytes("a gzip with a wrong sum", gzip.compress(b"a b\tc d\n" * 9)[:-8] + bytes(8))
_bytes("a gzip and noise", gzip.compress(b"a b\tc d\n" * 9) + os.urandom(99))
_bytes("a gzip bomb", gzip.compress(bytes(300 * 2**20), 9))
_bytes("xz", lzma.compress(b"text"))
_bytes("bz2", bz2.compress(b"text"))
_bytes("a picture", b"\x89PNG\r\n\x1a\n" + bytes(64))
_bytes("PDF", b"%PDF-1.7\n%\xe2\xe3\n")
_bytes("a pickle", b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.")
_bytes("a library", b"\x7fELF\x02\x01\x01" + bytes(64))
_bytes("a huge header", struct.pack("<Q", 2**62) + b"{}")
_bytes("a header of nothing", struct.pack("<Q", 2) + b"{}")
_bytes(
    "a tensor with a long name",
    struct.pack("<Q", 100_060)
    + json.dumps({"a\n" + "a" * 99_990: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    .encode()
    .ljust(100_060)
    + bytes(4),
)
_bytes(
    "a tensor without end",
    struct.pack("<Q", 76)
    + json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode().ljust(76),
)


@_function
def _a_folder(path: Path) -> None:
    path.mkdir()


@_function
def _a_folder_with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "it").write_text("text\n")


@_function
def _a_link(path: Path) -> None:
    path.symlink_to(path.parent / "elsewhere")
    (path.parent / "elsewhere").write_text("text\n")


@_function
def _a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "nothing")


@_function
def _a_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@_function
def _a_link_to_zeros_without_end(path: Path) -> None:
    path.symlink_to("/dev/zero")


@_function
def _a_link_to_nothing_at_all(path: Path) -> None:
    path.symlink_to("/dev/null")


@_function
def _a_pipe_that_nobody_writes(path: Path) -> None:
    os.mkfifo(path)


@_function
def _a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


@_function
def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")


@_function
def _a_terabyte_of_nothing(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)
