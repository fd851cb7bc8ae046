"""A run's `task.json`: the types of what it holds, and which version of recurra made the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recurra.errors import RunError, quoted, shortened
from recurra.settings import fields_of, sections_of

MADE_BY = "recurra"
"""The key under which the version stands that made the run; version 0.1.0 recorded none at first."""


def check_record(record: Mapping[str, Any], path: Path) -> None:
    """Refuse a record that holds something of another type than is written there; keys it may lack.

    Raises:
        RunError: it does.
    """
    for key, (is_right, expected) in _EXPECTED.items():
        if key in record and not is_right(record[key]):
            raise RunError(
                f"{path}: expected {expected} under {key!r}, got {quoted(record[key])}; put the original file back."
            )


def check_keys(config: type, values: Mapping[str, Any], record: Mapping[str, Any], path: Path) -> None:
    """Refuse a key of a run's `config.yaml` that this version does not have, and say which version made the run.

    Raises:
        RunError: there is one.
    """
    key = _unknown_key(config, values)
    if key is None:
        return
    from recurra import __version__

    by = record.get(MADE_BY)
    maker = (
        "was it made by a later version?" if by is None else f"the run was made by version {shortened(by)}."
    )
    raise RunError(
        f"{path}: the key {quoted(key)} is not known to this version of recurra, {__version__}; {maker} Update "
        "recurra, or put the original file back."
    )


def _unknown_key(config: type, values: Mapping[str, Any]) -> str | None:
    """The first key, with its sections, that a configuration does not have."""
    known = {key for key, _, _ in fields_of(config)}
    sections = sections_of(known)
    waiting = [("", values)]
    while waiting:
        prefix, mapping = waiting.pop()
        for name, value in mapping.items():
            key = f"{prefix}{name}"
            if key in sections and isinstance(value, Mapping):
                waiting.append((f"{key}.", value))
            elif key not in known and key not in sections:
                return key
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_digests(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(digest, str) for digest in value.values())


def _is_mean(value: Any) -> bool:
    return (
        isinstance(value, dict) and isinstance(value.get("run"), str) and isinstance(value.get("steps"), list)
    )


_EXPECTED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "cell": (_is_text, "the name of a cell"),
    "program": (_is_text, "a digest"),
    "digests": (_are_digests, "digests by name"),
    "averaged": (_is_mean, "a run and its steps"),
    MADE_BY: (_is_text, "a version"),
}
