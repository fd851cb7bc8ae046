"""Input files: opened without waiting, read to their end, unpacked where they are gzip; one line for each way to fail.

A file is whatever a user names: a regular file, a named pipe, a process substitution, `/dev/stdin`. What has no end
(a terminal, `/dev/zero`) and what holds no bytes (a folder, a socket) is refused by what it is.
"""

from __future__ import annotations

import io
import itertools
import os
import select
import stat
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from recurra.durable import machine_memory
from recurra.errors import DataError, gigabytes, nearest, quoted

GZIP_MAGIC = b"\x1f\x8b"

UNPACKED_RATIO, UNPACKED_ALWAYS = 200, 64 << 20
"""A gzip may unpack to so many times its size, and to so many bytes (64 MiB) in any case."""

PIPE_SECONDS = 5.0
"""How long a named pipe may have no writer. With a writer it is waited for, as a program is that reads its output."""

CHUNK = 1 << 20
LISTED = 1000
"""How many names of a folder are compared with a misspelt one, and how many letters of each."""


def read_bytes(path: str | Path) -> bytes:
    """The content of a file, unpacked if it is gzip (told by its first two bytes, whatever its name).

    Raises:
        DataError: the file is missing, empty, not readable, no file (a folder, a device, a socket), a named pipe that
            nobody writes to, too large for the machine's memory, or damaged gzip.
    """
    name = shown_path(path)
    data = unpacked(_content(path, name), name)
    if not data:
        raise DataError(f"{name}: the file is empty; expected text.")
    return data


def shown_path(path: str | Path) -> str:
    """A path as it is, or quoted and cut where it is long or holds what cannot be printed."""
    text = os.fspath(path)
    return text if text and len(text) <= 200 and text.isprintable() else quoted(text)


def unpacked(data: bytes, name: str) -> bytes:
    """What a gzip of one or several members holds, zeros after the last one dropped; other bytes as they are.

    Args:
        data: from a file's beginning to its end.
        name: stands in the errors.

    Raises:
        DataError: it is damaged, or unpacks to more than `UNPACKED_RATIO` times its size and `UNPACKED_ALWAYS`.
    """
    if not data.startswith(GZIP_MAGIC):
        return data
    result, position = io.BytesIO(), 0
    try:
        while position < len(data):
            position = _unpack_member(data, position, result, name)
            if data[position : position + 1] == b"\0":
                position = len(data) - len(data[position:].lstrip(b"\0"))
    except zlib.error as error:
        raise _damaged(name, str(error)) from error
    except MemoryError as error:
        raise _too_large(name, f"more than {gigabytes(result.tell())} unpacked") from error
    return result.getvalue()


def _unpack_member(data: bytes, begin: int, result: io.BytesIO, name: str) -> int:
    """Unpack the member that begins there in pieces; returns where it ends."""
    limit = max(UNPACKED_RATIO * len(data), UNPACKED_ALWAYS)
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    position, pending = begin, b""
    while not unpacker.eof:
        if not pending:
            pending = data[position : position + CHUNK]
            position += len(pending)
        if not pending:
            raise _damaged(name, "it ends early")
        result.write(unpacker.decompress(pending, CHUNK))
        pending = unpacker.unconsumed_tail
        if result.tell() > limit:
            raise DataError(
                f"{name}: unpacks to more than {limit >> 20} MiB, {UNPACKED_RATIO} times its size or more, as no text "
                "does. If it is meant, unpack it first: gzip -d FILE"
            )
    return position - len(unpacker.unused_data)


def _damaged(name: str, reason: str) -> DataError:
    return DataError(f"{name}: damaged gzip ({reason}). Fetch or pack the file again.")


def read_to_end(read: Callable[[int], bytes], name: str) -> bytes:
    """All that calls of `read` give until one gives nothing.

    Raises:
        DataError: it is more than the machine's memory holds.
    """
    data, limit = io.BytesIO(), _memory() // 2
    while piece := read(CHUNK):
        data.write(piece)
        if data.tell() > limit:
            raise _too_large(name, f"more than {gigabytes(limit)}")
    return data.getvalue()


def _content(path: str | Path, name: str) -> bytes:
    try:
        # Without waiting for a named pipe's writer, and without making a terminal this process's own.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise _not_opened(path, name, error) from error
    try:
        _check_kind(os.fstat(descriptor), name)
        return read_to_end(_reader(descriptor, name), name)
    except MemoryError as error:
        raise _too_large(name, "more than is free now") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error}).") from error
    finally:
        os.close(descriptor)


def _not_opened(path: str | Path, name: str, error: OSError | ValueError) -> DataError:
    if not os.fspath(path):
        return DataError("expected the name of a file, got an empty one.")
    if isinstance(error, FileNotFoundError):
        if Path(path).is_symlink():
            target = shown_path(Path(path).readlink())
            return DataError(f"{name}: a link to {target}, which does not exist. Name the file itself.")
        return DataError(f"{name}: no such file.{_sibling(Path(path))}")
    try:
        if stat.S_ISSOCK(Path(path).stat().st_mode):
            return DataError(f"{name}: a socket; expected a file.")
    except (OSError, ValueError):
        pass  # the first error says why
    reason = getattr(error, "strerror", None) or str(error)
    return DataError(f"{name}: cannot be read ({reason}).")


def _check_kind(status: os.stat_result, name: str) -> None:
    """Refuse what cannot be read to an end.

    Raises:
        DataError: it is a folder, a device, or larger than half of the machine's memory.
    """
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        raise DataError(f"{name}: a directory; expected a file. Name the files in it.")
    is_null = stat.S_ISCHR(mode) and status.st_rdev == Path(os.devnull).stat().st_rdev
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not is_null):
        raise DataError(f"{name}: a device or terminal, which has no end; expected a file.")
    if stat.S_ISREG(mode) and status.st_size > _memory() // 2:
        raise _too_large(name, gigabytes(status.st_size))


def _reader(descriptor: int, name: str) -> Callable[[int], bytes]:
    """Reads the next bytes; those of a pipe are waited for as long as somebody can write them."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    deadline: float | None = time.monotonic() + PIPE_SECONDS  # None once there has been a writer

    def read(size: int) -> bytes:
        nonlocal deadline
        while True:
            try:
                data = os.read(descriptor, size)
            except BlockingIOError:  # a pipe with a writer, who has not written yet
                deadline = None
                poll.poll()
                continue
            if data or not is_pipe or deadline is None:
                deadline = None
                return data
            # Nobody holds the other end: nobody does yet, or the writer has left, which poll reports at once.
            left = deadline - time.monotonic()
            if left <= 0:
                raise DataError(
                    f"{name}: a named pipe to which nobody has written for {PIPE_SECONDS:g} seconds; start its writer."
                )
            if any(event & select.POLLHUP for _, event in poll.poll(left * 1000)):
                deadline = None  # what is left in it is read, and then its end

    return read


def _sibling(path: Path) -> str:
    """What the file may have been meant to be called, or that its folder is missing, or that it is several."""
    parts = os.fspath(path).split(",")
    if len(parts) > 1 and Path(parts[0]).is_file():
        return (
            f" Give several files with spaces between: {shown_path(' '.join(part.strip() for part in parts))}"
        )
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, LISTED)]
    except OSError:
        return f" Its folder {shown_path(path.parent)} does not exist."
    return nearest(path.name, [name for name in names if len(name) <= 80 and name.isprintable()])


def _too_large(name: str, size: str) -> DataError:
    return DataError(
        f"{name}: has {size}, and this machine {gigabytes(_memory())} of memory; give a part of it at a time."
    )


def _memory() -> int:
    """The machine's memory in bytes; no limit where the system does not say."""
    return machine_memory() or sys.maxsize
