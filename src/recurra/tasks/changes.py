"""A run's configuration as it is resumed: what may be changed in it, and whether its files can be read again.

Nothing heavy is imported, as the help of `recurra resume` is made from it.
"""

from __future__ import annotations

import dataclasses
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError, RunError, nearest, quoted
from recurra.settings import build, fields_of, is_auto, keys_with, plain, value_at
from recurra.tasks.registry import TASKS
from recurra.tasks.task import TaskConfig
from recurra.training.config import LIMITS, PARTS

if TYPE_CHECKING:
    from recurra.tasks.opened import OpenedRun

KEPT = ("data", "model")
"""The sections that a run keeps, but for the names of files."""


def changeable(config: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a task's configuration that `resume` takes, by dotted key; those that are `fixed` it refuses."""
    return {
        key: field
        for key, field, _ in fields_of(config)
        if key.partition(".")[0] not in KEPT or (key.startswith("data.") and field.metadata.get("files"))
    }


def change(opened: OpenedRun, changes: Mapping[str, Any]) -> OpenedRun:
    """The run with other values in its configuration, which is not written yet.

    Args:
        opened: the run.
        changes: values by dotted key; a limit takes the place of all limits before.

    Raises:
        ConfigError: a key is unknown, or a run keeps it; or a value is out of range.
    """
    known = changeable(type(opened.config))
    values = plain(opened.config)
    for key, value in changes.items():
        _check_changeable(opened, key, known)
        if "auto" in known[key].metadata and is_auto(value):
            raise ConfigError(
                f"{key}: chosen when a run begins, and this one has begun; give a value instead."
            )
    limits = dict.fromkeys(LIMITS) if any(f"training.{key}" in changes for key in LIMITS) else {}
    values["training"].update(limits)
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[name] = value
    try:
        config = build(type(opened.config), values)
    except TypeError as error:
        raise ConfigError(f"changes: {error}") from error
    directory = opened.directory.with_config(plain(config))
    return dataclasses.replace(opened, config=config, directory=directory)


def _check_changeable(opened: OpenedRun, key: str, known: Mapping[str, dataclasses.Field[Any]]) -> None:
    start = (
        f"`recurra train {opened.task.name} --training.start_from {opened.path} ...` starts a new run from it"
    )
    if key in known:
        why = known[key].metadata.get("fixed")
        if why:
            raise ConfigError(f"{key}: a run keeps it, since {why}; {start}.")
        return
    if key in {each for each, _, _ in fields_of(type(opened.config))}:
        raise ConfigError(f"{key}: a run keeps its model and how its data are read; {start}.")
    hint = nearest(key, known)
    raise ConfigError(f"{key}: {TASKS[opened.task.name].noun} has no such key that can change.{hint}")


def judged_by(config: TaskConfig) -> dict[str, Any]:
    """The values that decide how a model is judged, by dotted key: those of a task's own sections."""
    own = [field.name for field in dataclasses.fields(config) if field.name not in (*KEPT, *PARTS)]
    return {key: _at(config, key) for key, _, _ in fields_of(type(config)) if key.partition(".")[0] in own}


def _at(config: TaskConfig, key: str) -> Any:
    """The value of a dotted key as plain YAML and JSON have it."""
    value = value_at(config, key)
    return list(value) if isinstance(value, tuple) else value


# --- files --------------------------------------------------------------------------------------------


def reading(config: TaskConfig, building: bool) -> tuple[str, str]:
    """What is about to be read, which may take a while, and whether a vocabulary of subwords is built of it."""
    files = [path for _, path in _files(config)]
    names = ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    kinds = [
        getattr(config.data, name, None) for name in ("vocabulary", "source_vocabulary", "target_vocabulary")
    ]
    subwords = ", and building a vocabulary of subwords" if building and "subwords" in kinds else ""
    return "reading", (names or "the default data") + subwords


def check_regular(config: TaskConfig) -> None:
    """Refuse to train on what cannot be read a second time.

    Raises:
        ConfigError: one of the data's files is a pipe, a terminal or a device.
    """
    for key, path in _files(config):
        try:
            mode = Path(path).stat().st_mode
        except (OSError, ValueError):
            continue  # what reads it says why
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ConfigError(
                f"{key}: {quoted(path)} is a pipe or a device, which `recurra resume` could not read again; save it to "
                "a file first."
            )


def check_files(opened: OpenedRun) -> None:
    """Say how to name the files of a run again where they have moved.

    Raises:
        RunError: one of them is not there.
    """
    check_regular(opened.config)
    for key, path in _files(opened.config):
        if not Path(path).exists():
            raise RunError(
                f"{quoted(path)}: no such file; {opened.path} was trained with it as {key}. If it has moved, name it: "
                f"recurra resume {opened.path} --{key} FILE"
            )


def _files(config: TaskConfig) -> list[tuple[str, str]]:
    """Each file of the data with its dotted key."""
    keys = [key for key in keys_with(type(config), "files") if key.startswith("data.")]
    named = [(key, _at(config, key)) for key in keys]
    return [(key, path) for key, held in named for path in ([held] if isinstance(held, str) else held or [])]
