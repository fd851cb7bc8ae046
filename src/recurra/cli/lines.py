"""Lines as they come: what is there is taken together, and what is not there is not waited for."""

from __future__ import annotations

import io
import json
import select
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

from recurra.errors import ConfigError

CHUNK = 1 << 16
STANDARD_INPUT = "standard input"


def open_lines(path: str | None) -> tuple[str, io.BufferedIOBase]:
    """A file, plain or gzip, or standard input where there is no path: its name, for errors, and its bytes.

    Raises:
        DataError: the file is missing, empty or damaged.
    """
    from recurra.data.text import read_bytes

    if path is None:
        return STANDARD_INPUT, cast(io.BufferedReader, sys.stdin.buffer)
    return path, io.BytesIO(read_bytes(path))


def groups_of_lines(stream: io.BufferedIOBase, most: int) -> Iterator[list[bytes]]:
    r"""The lines of a stream without their line ends (`\n` or `\r\n`), in groups of 1 to `most`.

    A group is what can be read without waiting: of a file or a full pipe `most` lines, of a terminal one. What
    follows the last line end is a line unless it is empty.
    """
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # in memory, where nothing is waited for
        descriptor = None
    lines: list[bytes] = []
    rest = b""
    while data := stream.read1(CHUNK):  # no more than is there
        *whole, rest = (rest + data).split(b"\n")
        lines += whole
        while len(lines) >= most or (lines and not _readable(descriptor)):
            yield [line.removesuffix(b"\r") for line in lines[:most]]
            lines = lines[most:]
    if rest:
        lines.append(rest)
    for begin in range(0, len(lines), most):
        yield [line.removesuffix(b"\r") for line in lines[begin : begin + most]]


def _readable(descriptor: int | None) -> bool:
    """Whether reading would return at once; at the end of the input it would."""
    return descriptor is None or bool(select.select([descriptor], [], [], 0)[0])


@dataclass(frozen=True)
class Line:
    """A line of input.

    Attributes:
        text: what the model reads; empty where there is an error.
        error: what is wrong with the line, where something is.
        keys: of its JSON object, besides that of the text.
    """

    text: str
    error: str | None = None
    keys: dict[str, Any] = field(default_factory=dict)


class LineReader:
    """Makes text of lines of bytes, one call for each.

    With a `key`, a line that begins with {, or a first line that is a JSON string, says that the input is
    JSON from there on: a string, or an object with the text under that key, per line.

    Args:
        name: of the input, for errors.
        encoding: of the text; one in which a line end is one byte.
        key: of the text in JSON objects; None: every line is plain text.

    Raises:
        ConfigError: the encoding is unknown, or does not let lines be told apart.
    """

    def __init__(self, name: str, encoding: str, key: str | None) -> None:
        from recurra.data.text import check_encoding

        check_encoding(encoding)
        if "\n".encode(encoding) != b"\n":
            raise ConfigError(
                f"data.encoding: lines of {encoding} cannot be told apart as they come; re-encode the input, and "
                "pass --data.encoding utf-8."
            )
        self._name, self._encoding, self._key = name, encoding, key
        self._is_json = self._began = False
        self.number = 0

    def read(self, data: bytes) -> Line:
        """The next line."""
        self.number += 1
        where = f"{self._name}, line {self.number}: "
        try:
            text = data.decode(self._encoding)
        except UnicodeDecodeError as error:
            column = len(data[: error.start].decode(self._encoding, errors="replace")) + 1
            return Line(
                "",
                f"{where}not {self._encoding.upper()} (byte 0x{data[error.start]:02x} at column {column}). "
                "Re-encode the input, or pass --data.encoding latin-1.",
            )
        text = text.removeprefix("\ufeff") if self.number == 1 else text
        if self._key is None:
            return Line(text)
        self._is_json = self._is_json or self._begins_json(text.strip())
        self._began = self._began or bool(text.strip())
        line = _parse(text, self._key) if self._is_json else Line(text)
        return line if line.error is None else replace(line, error=where + line.error)

    def _begins_json(self, text: str) -> bool:
        if text.startswith("{"):
            return True
        if self._began or not text.startswith('"'):
            return False
        try:
            return isinstance(json.loads(text), str)
        except ValueError:
            return False


def _parse(text: str, key: str) -> Line:
    """A line of JSON; its error, if there is one, does not name the line yet."""
    try:
        value = json.loads(text)
        json.dumps(
            value, ensure_ascii=False, allow_nan=False
        ).encode()  # it must be possible to write it again
    except json.JSONDecodeError as error:
        return Line(
            "",
            f"not JSON ({error.msg} at column {error.colno}); once a line is JSON, every line must be.",
        )
    except (ValueError, RecursionError) as error:
        return Line("", f"not plain JSON ({error}); leave that out.")
    if isinstance(value, str):
        return Line(value)
    if not isinstance(value, dict):
        return Line("", f'expected an object with "{key}", or a string; got {text.strip()[:40]}.')
    source = value.pop(key, None)
    if not isinstance(source, str):
        got = "none" if source is None else json.dumps(source)[:40]
        return Line("", f'expected text under "{key}", got {got}; add it.', value)
    return Line(source, keys=value)
