"""What a resumed run is asked to do otherwise than before: what it must keep, and where the rest is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recurra.durable import json_line, read_plain, write_atomic
from recurra.errors import RunError, TrainingError, quoted
from recurra.training.run_directory import RunDirectory

CHANGES = "changes.jsonl"
"""The file of a run with a line for each time that it was resumed with other settings."""


@dataclass(frozen=True)
class Change:
    """A value then and now."""

    then: Any
    now: Any

    def __str__(self) -> str:
        return f"was {_short(self.then)} and is now {_short(self.now)}"


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Change]:
    """The values that differ, by name; those of names that only one of both has, as of another version, do not."""
    return {key: Change(then[key], now[key]) for key in sorted(then.keys() & now) if then[key] != now[key]}


def check_kept(changed: Mapping[str, Change], fixed: Mapping[str, str], path: object) -> None:
    """Refuse a change of what a run keeps.

    Args:
        changed: by dotted key.
        fixed: why a run keeps them, by dotted key.
        path: of the run.

    Raises:
        RunError: naming the first such key.
    """
    for key in changed.keys() & fixed.keys():
        raise RunError(
            f"{path}: {key} {changed[key]}; a run keeps it, since {fixed[key]}. Put it back, or train a new run."
        )


def nothing_left(path: object, reason: str, minutes: float) -> RunError:
    """The error of a run that is asked to change but has reached a limit.

    Args:
        path: of the run.
        reason: the limit: steps, epochs, minutes or patience.
        minutes: for how long the run was trained.
    """
    trained = f" It was trained for {minutes:.1f} minutes so far, which count." if reason == "minutes" else ""
    other = "steps" if reason == "minutes" else "minutes"
    return RunError(
        f"{path}: has reached its limit, training.{reason}, so the changes would do nothing.{trained} Give a larger "
        f"limit as well, --training.{reason} N, or another kind of limit, such as --training.{other} N."
    )


def record_changes(run: RunDirectory, step: int, changed: Mapping[str, Change]) -> None:
    """Write down in the run that its settings have changed at a step; what was written already is not repeated.

    Raises:
        TrainingError: the disk is full or refuses.
    """
    path = run.path / CHANGES
    values = {key: [change.then, change.now] for key, change in changed.items()}
    line = json_line({"step": step, "changes": values}).encode() + b"\n"
    try:
        before = read_plain(path) if path.exists() else b""
        if not before.endswith(line):
            write_atomic(path, before + line)
    except OSError as error:
        raise TrainingError(
            f"{path}: could not be written ({error.strerror or error}); make room, and resume again."
        ) from error


def _short(value: Any) -> str:
    """A value as messages write it: text without its quotation marks, as it is typed."""
    if value is None:
        return "none"
    shown = quoted(value)
    return value if isinstance(value, str) and shown == repr(value) else shown
