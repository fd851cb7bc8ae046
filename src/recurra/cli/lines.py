"""Lines as they come: what is there is taken together, and what is not there is not waited for."""

from __future__ import annotations

import codecs
import io
import json
import select
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from recurra.cli.streams import standard_input
from recurra.data.file_formats import STANDARD_INPUT, check_plain
from recurra.errors import ConfigError, quoted

CHUNK = 1 << 16


def open_lines(path: str | None, encoding: str | None) -> tuple[str, io.BufferedIOBase, str | None]:
    r"""A file, plain or gzip, or standard input where there is no path.

    Args:
        path: of the file.
        encoding: of its text; None: the lines are bytes, as they are.

    Returns:
        Its name, for errors; its bytes, those of text with an end of `\n` or `\r\n` at each line; their encoding, in
        which a line end is one byte.

    Raises:
        ConfigError: standard input is closed, the encoding is unknown, or lines of standard input cannot be told
            apart in it.
        DataError: the file is missing, empty or damaged; it is in another encoding, and has to be read as a whole.
    """
    from recurra.data.files import read_bytes, shown_path
    from recurra.data.line_ends import is_old_macintosh, with_plain_ends
    from recurra.data.text import check_encoding, decode_text

    if encoding is not None:
        check_encoding(encoding)
        if codecs.lookup(encoding).name == "utf-8-sig":  # of every text the byte order mark is dropped
            encoding = "utf-8"
    by_lines = encoding is None or "\n".encode(encoding) == b"\n"
    if path is None:
        if not by_lines:
            raise ConfigError(
                f"data.encoding: lines of {quoted(encoding)} cannot be told apart as they come; re-encode the input, "
                "and pass --data.encoding utf-8, or give it as a file."
            )
        return STANDARD_INPUT, standard_input(), encoding
    name, data = shown_path(path), read_bytes(path)
    if encoding is None:
        return name, io.BytesIO(data), None
    if not by_lines:
        # `\r\n`, since the `\r` before a `\n` is dropped later on, and a line's own last character may be one; and a
        # byte order mark for the same reason.
        text = decode_text(data, encoding, name).replace("\n", "\r\n")
        return name, io.BytesIO(text.encode("utf-8-sig")), "utf-8"
    return name, io.BytesIO(with_plain_ends(data, name) if is_old_macintosh(data, name) else data), encoding


def groups_of_lines(stream: io.BufferedIOBase, most: int, as_they_are: bool = False) -> Iterator[list[bytes]]:
    r"""The lines of a stream without their line ends (`\n` or `\r\n`), in groups of 1 to `most`.

    A group is what can be read without waiting: of a file or a full pipe `most` lines, of a terminal one. What
    follows the last line end is a line unless it is empty.

    Args:
        stream: the bytes.
        most: the maximum number of lines in a group.
        as_they_are: a `\r` before the `\n` belongs to the line.
    """
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # in memory, where nothing is waited for
        descriptor = None
    end = b"" if as_they_are else b"\r"
    lines: list[bytes] = []
    pieces: list[bytes] = []  # of a line that has not ended; joined once, as it may have thousands
    while data := stream.read1(CHUNK):  # no more than is there
        first, *others = data.split(b"\n")
        pieces.append(first)
        if not others:
            continue
        lines.append(b"".join(pieces).removesuffix(end))
        lines += [line.removesuffix(end) for line in others[:-1]]
        pieces, begin = others[-1:], 0
        while len(lines) - begin >= most or (begin < len(lines) and not _readable(descriptor)):
            yield lines[begin : begin + most]
            begin += most
        lines = lines[begin:]
    if rest := b"".join(pieces):
        lines.append(rest)
    for begin in range(0, len(lines), most):
        yield lines[begin : begin + most]


def _readable(descriptor: int | None) -> bool:
    """Whether reading would return at once; at the end of the input it would."""
    return descriptor is None or bool(select.select([descriptor], [], [], 0)[0])


@dataclass(frozen=True)
class Line:
    """A line of input.

    Attributes:
        text: what the model reads, bytes where the input has no encoding; empty where there is an error.
        error: what is wrong with the line, where something is.
        keys: of its JSON object, besides that of the text.
    """

    text: str | bytes
    error: str | None = None
    keys: dict[str, Any] = field(default_factory=dict)


class LineReader:
    """Makes text of lines of bytes, one call for each.

    With a `key`, a line that begins with {, or a first line that is a JSON string, says that the input is
    JSON from there on: a string, or an object with the text under that key, per line.

    Args:
        name: of the input, for errors.
        encoding: of the text, as `open_lines` gives it; None: every line is its bytes.
        key: of the text in JSON objects; None: every line is plain text.
    """

    def __init__(self, name: str, encoding: str | None, key: str | None) -> None:
        self._name, self._encoding, self._key = name, encoding, key
        self._is_json = self._began = False
        self.number = 0

    def read(self, data: bytes) -> Line:
        """The next line.

        Raises:
            DataError: the first one begins like a format that is no text.
        """
        self.number += 1
        if self._encoding is None:
            return Line(data)
        if self.number == 1:
            check_plain(data, self._name, self._encoding)
        where = f"{self._name}, line {self.number}: "
        text, error = _decoded(data, self._encoding)
        if error:
            return Line("", where + error)
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


def _decoded(data: bytes, encoding: str) -> tuple[str, str]:
    """The text of a line, and what is wrong with it, which does not name the line yet."""
    nul = data.find(b"\0")
    if nul >= 0:
        column = len(data[:nul].decode(encoding, errors="replace")) + 1
        return "", f"binary (byte 0x00 at column {column}); give text."
    try:
        return data.decode(encoding), ""
    except UnicodeDecodeError as error:
        column = len(data[: error.start].decode(encoding, errors="replace")) + 1
        at = f"byte 0x{data[error.start]:02x} at column {column}"
    except UnicodeError as error:
        at = quoted(str(error))
    return "", f"not {encoding.upper()} ({at}). Re-encode the input, or pass --data.encoding latin-1."


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
        return Line("", f'expected an object with "{key}", or a string; got {quoted(text.strip()[:40])}.')
    source = value.pop(key, None)
    if not isinstance(source, str):
        got = "none" if source is None else quoted(source)[:60]
        return Line("", f'expected text under "{key}", got {got}; add it.', value)
    return Line(source, keys=value)
