"""Files that are whole or absent, whatever happens: written aside, flushed to the disk, renamed."""

from __future__ import annotations

import os
from pathlib import Path


def write_aside(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, flush it to the disk, and rename it to `path`.

    Raises:
        OSError: the disk is full or refuses; `path` is then what it was before.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        write_flushed(aside, data)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write_flushed(path: Path, data: bytes) -> None:
    """Write a file that nothing names yet, and flush it to the disk.

    Raises:
        OSError: the disk is full or refuses.
    """
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename inside it outlives a power cut."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
