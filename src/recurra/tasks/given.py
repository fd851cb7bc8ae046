"""What a caller in Python gives: lines, files, paths and runs, refused in one line where they are something else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError, quoted


def lines(records: Any, takes_bytes: bool = False) -> Iterator[str]:
    """The records one by one, without their line ends.

    Args:
        records: an iterable of lines, such as a list or an opened file.
        takes_bytes: a line may be bytes, for a model of bytes; a vocabulary of bytes encodes both.

    Raises:
        ConfigError: at once, they are no such thing; or, when it is reached, one of them is no line.
    """
    if isinstance(records, str | bytes):
        raise ConfigError(f"records: expected a list of lines, got one text; write [{quoted(records)}].")
    if isinstance(records, Mapping) or not isinstance(records, Iterable):
        raise ConfigError(f"records: expected a list of lines of text, got {quoted(records)}.")
    return _checked(records, takes_bytes)


def _checked(records: Iterable[Any], takes_bytes: bool) -> Iterator[str]:
    for number, line in enumerate(records):
        if isinstance(line, str):
            yield str(line).removesuffix("\n").removesuffix("\r") if line.endswith("\n") else str(line)
        elif isinstance(line, bytes) and takes_bytes:
            yield line.removesuffix(b"\n")  # type: ignore[misc]
        else:
            hint = "; decode it" if isinstance(line, bytes) else ""
            raise ConfigError(f"records[{number}]: expected a line of text, got {quoted(line)}{hint}.")


def files_by_key(files: Any, known: Sequence[str]) -> dict[str, list[str]]:
    """Files by the name of their key in `config.data`; keys without files are left out.

    Args:
        files: what was given; None for none.
        known: the names that there are.

    Raises:
        ConfigError: they are no such thing, or a name is unknown.
    """
    if files is None:
        return {}
    right = f'{{"{known[0]}": ["FILE"]}}' if known else "none"
    if not isinstance(files, Mapping):
        raise ConfigError(f"files: expected lists of files by key, {right}, got {quoted(files)}.")
    given: dict[str, list[str]] = {}
    for name, paths in files.items():
        if name not in known:
            raise ConfigError(f"files: expected one of {', '.join(known) or 'none'}, got {quoted(name)}.")
        if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
            raise ConfigError(f"files[{name!r}]: expected a list of files, got {quoted(paths)}.")
        given[name] = [str(path_of(path, f"files[{name!r}]", "a file")) for path in paths]
    return {name: paths for name, paths in given.items() if paths}


def path_of(path: Any, name: str, expected: str = "the folder of a run") -> Path:
    """A path, from text or what has a path as text.

    Raises:
        ConfigError: it is no such thing, or empty.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str) or not text:
        raise ConfigError(f"{name}: expected {expected}, got {quoted(path)}.")
    return Path(text)
