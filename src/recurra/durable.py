"""Files that are whole or absent, whatever happens: written to a temporary file, flushed to the disk, renamed."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
"""How a file that may be anything is opened: links are refused, and nothing is waited for."""


def whole_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path without links; links that go in a circle are left, and refused where the path is used."""
    return Path(os.path.realpath(path))


def temporary_name(path: Path) -> Path:
    """What a file or folder is called until it is whole: a kill leaves files of this form, and no others."""
    return path.with_name(f".{path.name}.part")


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, flush it to the disk, and rename it to `path`.

    Raises:
        OSError: the disk is full or refuses, or something other than a file is at `path`, which is then what it was
            before. A link there is replaced, and what it points to is left alone.
    """
    _check_replaceable(path)
    temporary = temporary_name(path)
    temporary.unlink(missing_ok=True)  # what a kill left
    try:
        write_flushed(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write_output(path: str | Path, data: bytes) -> None:
    """Write a file that the user named: `write_atomic`, but a link is followed, as `>` of a shell does.

    Raises:
        OSError: as of `write_atomic`.
    """
    write_atomic(whole_path(path), data)


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file that must not be there yet, and flush it to the disk.

    Raises:
        OSError: something is at `path` already, were it a link; the disk is full or refuses.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINKS, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def append(path: Path, data: bytes) -> None:
    """Append to a file, which is made where there is none.

    Raises:
        OSError: it is a link or no plain file; the disk is full or refuses.
    """
    _part_from_other_names(path)
    with os.fdopen(open_plain(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab") as file:
        file.write(data)


def truncate(path: Path, length: int) -> None:
    """Cut a file to a length in bytes.

    Raises:
        OSError: it is missing, a link or no plain file.
    """
    _part_from_other_names(path)
    descriptor = open_plain(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, length)
    finally:
        os.close(descriptor)


def read_plain(path: Path, at_most: int | None = None) -> bytes:
    """The bytes of a plain file.

    Args:
        path: the file.
        at_most: a larger one is refused unread, in bytes.

    Raises:
        OSError: it is missing, too large, a link or no plain file, or cannot be read.
    """
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if at_most is not None and size > at_most:
            raise OSError(errno.EFBIG, f"{size:,} bytes, and at most {at_most:,} are read", str(path))
        return file.read(-1 if at_most is None else at_most)


def open_plain(path: Path, flags: int) -> int:
    """A descriptor of a plain file; of a link, a device or a pipe none.

    Raises:
        OSError: it is missing, or none.
    """
    descriptor = os.open(path, flags | NO_LINKS, 0o666)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a plain file", str(path))


def _part_from_other_names(path: Path) -> None:
    """Give a file of several names (hard links, as `cp -l` makes) a copy of its own, so that the others keep theirs."""
    try:
        names = path.lstat().st_nlink
    except FileNotFoundError:
        return
    if names > 1:
        write_atomic(path, read_plain(path))


def _check_replaceable(path: Path) -> None:
    """Refuse to rename over a folder, a device or a pipe."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise OSError(errno.EINVAL, "not a plain file", str(path))


def check_readable(path: Path) -> None:
    """Refuse what a library that opens files by name must not open: a link, a pipe, more than the memory holds.

    Raises:
        OSError: it is missing, or one of these.
    """
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    memory = machine_memory()
    if memory is not None and facts.st_size > memory:  # a file with holes takes no disk
        raise OSError(errno.EFBIG, f"{facts.st_size:,} bytes, more than this machine's memory", str(path))


def machine_memory() -> int | None:
    """This machine's memory in bytes; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return None


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename inside it outlives a power cut."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Flush a plain file, or a folder with all that is in it.

    Raises:
        OSError: the disk is full or refuses, or it is neither.
    """
    if stat.S_ISDIR(path.lstat().st_mode):
        for inner in path.iterdir():
            flush(inner)
        flush_folder(path)
        return
    descriptor = open_plain(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def finite(value: Any) -> Any:
    """Plain values with None in the place of every NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value


def json_line(values: Mapping[str, Any]) -> str:
    """One line of JSON without its line end, every character as it is, `null` for NaN and infinities."""
    return json.dumps(finite(values), ensure_ascii=False, allow_nan=False)


def load_json(data: bytes) -> Any:
    """The value of a JSON text, whose numbers are all numbers that a float holds.

    Raises:
        ValueError: it is not JSON, too deep, or holds NaN, an infinity or a number like one.
    """
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_finite_float, parse_int=_whole)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite_float(written: str) -> float:
    value = float(written)
    return value if math.isfinite(value) else _refuse(written[:20])


def _whole(written: str) -> int:
    if len(written) > 300:
        raise ValueError(f"a number of {len(written)} digits")
    return int(written)
