"""A run that has been opened: its task, directory, record and configuration, each read once and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError, RunError, quoted
from recurra.settings import build, filled
from recurra.tasks.record import check_keys, check_record
from recurra.tasks.registry import TASKS, find_task
from recurra.tasks.task import AnyTask, Config
from recurra.training.durable import first_line, read_json
from recurra.training.run_directory import RunDirectory
from recurra.training.run_place import CONFIG

if TYPE_CHECKING:
    from recurra.data.vocabularies import Vocabularies

TASK_FILE = "task.json"
FORMAT = 3
"""The format of a run, under `format` in `task.json`.

1: vocabularies in the run's folder itself; `evaluation.force`; the share of wrong words is `word_error_rate`.
2: vocabularies in `vocabularies/`; `evaluation.allow_tokenised`; that share is `sequence_error_rate`.
3: `data.hold_out` and `evaluation.sampled`; before, the last lines were held out and the first sentences translated.
"""


@dataclass(frozen=True, repr=False)
class OpenedRun:
    """A run whose files have been read, but for its vocabularies and weights.

    Attributes:
        task: what it is a run of.
        directory: what it is on disk.
        record: what `task.json` holds.
        config: its configuration.
    """

    task: AnyTask
    directory: RunDirectory
    record: dict[str, Any]
    config: Any

    def __repr__(self) -> str:
        return f"OpenedRun({str(self.path)!r}, {self.task!r})"

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """Its vocabularies, read when they are first asked for.

        Raises:
            RunError: one is missing or damaged.
        """
        from recurra.data.vocabularies import Vocabularies

        return Vocabularies.load(self.path)


def open_run(path: str | Path) -> OpenedRun:
    """Open a run, having checked its format.

    Raises:
        RunError: the run is missing or damaged, of a task that is not known, or made by a later version.
    """
    directory = RunDirectory.open(path)
    record = read_json(directory.path / TASK_FILE)
    check_record(record, directory.path / TASK_FILE)
    name, made_as = record.get("task"), record.get("format")
    if type(made_as) is not int or made_as < 1:
        raise RunError(
            f"{directory.path / TASK_FILE}: expected a whole number under 'format', got {quoted(made_as)}; "
            "put the original file back."
        )
    if made_as > FORMAT:
        raise RunError(
            f"{directory.path}: was made by a later version of recurra (format {quoted(made_as)}, and this one reads 1 "
            f"to {FORMAT}); update recurra to use it."
        )
    if not isinstance(name, str) or name not in TASKS:
        raise RunError(
            f"{directory.path}: expected a run of one of the tasks {', '.join(TASKS)}, got {quoted(name)}; "
            "use the version of recurra that made it."
        )
    task = find_task(name)
    values = directory.config if made_as == FORMAT else current_config(directory.config, name)
    check_keys(task.config, values, record, directory.path / CONFIG)
    return OpenedRun(task, directory, record, config_from_dict(task.config, values, directory.path))


def current_config(values: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The configuration of a run of an earlier format in the names of today.

    Args:
        values: as `config.yaml` holds them.
        task: its name.
    """
    current = dict(values)
    if task == "lm" and isinstance(current.get("data"), Mapping):
        current["data"] = {"hold_out": "end", **current["data"]}
    evaluation = current.get("evaluation")
    if isinstance(evaluation, Mapping):
        evaluation = dict(evaluation)
        if task == "translate":
            evaluation.setdefault("sampled", False)
        if "force" in evaluation:
            evaluation["allow_tokenised"] = evaluation.pop("force")
        if isinstance(evaluation.get("metrics"), list):
            names = {"word_error_rate": "sequence_error_rate"}
            evaluation["metrics"] = [names.get(name, name) for name in evaluation["metrics"]]
        current["evaluation"] = evaluation
    return current


def config_from_dict(config: type[Config], values: Mapping[str, Any], source: str | Path) -> Config:
    """The configuration in a run's `config.yaml`; a key that is new since then has the value from before it was chosen.

    Raises:
        RunError: a key is unknown, a section missing, or a value out of range; the file was changed or is
            foreign.
    """
    try:
        for section in config.__dataclass_fields__:
            if section not in values:
                raise ValueError(f"no section {section!r}")
        return filled(build(config, values))
    except (TypeError, ValueError, ConfigError) as error:
        raise RunError(
            f"{source}/config.yaml: damaged or foreign ({first_line(error)}); put the original file back."
        ) from error
