"""What the verbs that open a run have in common: which options its task adds, and opening it once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from recurra.cli.options import FROM_COMMAND_LINE_ONLY, Options
from recurra.errors import ConfigError, RunError
from recurra.tasks.registry import TASKS, find_task

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.cells import Cell
    from recurra.tasks.opened import OpenedRun
    from recurra.tasks.run import Run
    from recurra.tasks.task import AnyTask


def add_cell(options: Options) -> None:
    """Add `--model.cell`: a run of a user's own cell keeps no code, so the caller names it."""
    options.add(
        FROM_COMMAND_LINE_ONLY,
        str | None,
        None,
        "the code of a run's own cell, mine.py:MyCell",
        "FILE.py:CLASS",
    )


def own_cell(name: str | None) -> type[Cell] | None:
    """The class that FILE.py:Class names; None where the name is that of a built-in cell, or there is none.

    Raises:
        ConfigError, CellError: it is neither, or the file holds no such cell.
    """
    from recurra.cells import is_path, resolve

    if name is None:
        return None
    cell = resolve(name)
    return cell if is_path(name) else None


def peek(arguments: Sequence[str]) -> OpenedRun | None:
    """The run among the arguments of a verb; None where there is none that opens.

    What a verb takes depends on the run's task, so the run is opened before the options are read.
    """
    candidates = [argument for argument in arguments if not argument.startswith("-")]
    for argument in candidates:
        if _may_be_run(argument):
            from recurra.tasks.opened import open_run

            return open_run(argument)
    return None


def _may_be_run(argument: str) -> bool:
    try:
        return (Path(argument) / "task.json").is_file()
    except (OSError, ValueError):  # a text too long for a name, or with NUL in it
        return False


def tasks_of(opened: OpenedRun | None) -> list[AnyTask]:
    """The run's task; where no run is open, all tasks."""
    return [find_task(name) for name in TASKS] if opened is None else [opened.task]


def test_keys(tasks: Sequence[AnyTask]) -> list[str]:
    """The keys of the tasks' test files: data.test, and what else there is."""
    return list(dict.fromkeys(key for task in tasks for key in task.keys_to_score))


def add_test_files(options: Options, tasks: Sequence[AnyTask]) -> None:
    """Add `--data.test` and its like, with the help that the tasks' configurations have for them."""
    for key in test_keys(tasks):
        options.add(key, list[str], None, _help_of(tasks, key), "FILE")


def _help_of(tasks: Sequence[AnyTask], key: str) -> str:
    from recurra.settings import help_of

    name = key.partition(".")[2]
    helps = [help_of(get_type_hints(task.config)["data"]).get(name, "") for task in tasks]
    return "; or ".join(dict.fromkeys(filter(None, helps)))


def test_files(values: Namespace, tasks: Sequence[AnyTask]) -> dict[str, list[str]]:
    """What `--data.test` and its like name, by the name of their key in `config.data`."""
    named = {key.partition(".")[2]: values.get(key) for key in test_keys(tasks)}
    return {name: files for name, files in named.items() if files}


def add_task_options(options: Options, tasks: Sequence[AnyTask], kinds: Sequence[type]) -> None:
    """Add the fields of the tasks' options classes, each name once."""
    for task, kind in zip(tasks, kinds, strict=True):
        if dataclasses.fields(kind):
            whose = f", of {TASKS[task.name].noun}" if len(tasks) > 1 else ""
            options.group(f"what is asked of the model{whose}")
            options.add_dataclass(kind, leave_out=("files",))


def refuse_options_of_others(
    arguments: Sequence[str], opened: OpenedRun | None, known: Options, others: Mapping[str, Options]
) -> None:
    """Say of an option that belongs to another task what this run is.

    Args:
        arguments: as typed.
        opened: the run.
        known: the verb's options for its task.
        others: the verb's options for each other task, by name.

    Raises:
        ConfigError: an option is not among `known`, but among those of another task.
    """
    if opened is None:
        return
    for argument in arguments:
        name = argument.removeprefix("--").partition("=")[0]
        if not argument.startswith("--") or name in known.names:
            continue
        if any(name in other.names for other in others.values()):
            noun = TASKS[opened.task.name].noun
            raise ConfigError(f"--{name}: {opened.path} is {noun}, which has no use for it; leave it out.")


def opened_or_raise(opened: OpenedRun | None, path: str) -> OpenedRun:
    """The run that was opened, or the one at a path.

    Raises:
        RunError: it is missing or damaged.
    """
    from recurra.tasks.opened import open_run

    if opened is not None and Path(opened.path) == Path(path):
        return opened
    return open_run(path)


def load_run(opened: OpenedRun, values: Namespace) -> Run:
    """An opened run with its weights; `--model.cell` names the code of its own cell.

    Raises:
        RunError: the code of its cell was not named, or its weights are damaged.
    """
    from recurra.tasks.life import load_opened

    return load_opened(opened, own_cell(values.model.cell))


def encoding_of(run: Run, given: str | None) -> str | None:
    """The encoding of text that a run is to read: the one given, or else its own; None where it reads bytes.

    Raises:
        ConfigError: one is given for bytes.
    """
    if not run.reads_bytes:
        return given or getattr(run.config.data, "encoding", "utf-8")
    if given is not None:
        raise ConfigError(f"--data.encoding: {run.path} reads bytes as they are; leave it out.")
    return None


def load_others(paths: Sequence[str], task: AnyTask, cell: type[Cell] | None) -> list[Run]:
    """Further runs of a task; `cell` serves those of them whose cell has its name.

    Raises:
        RunError: one is missing, damaged, or of another task.
    """
    from recurra.tasks.life import load_opened
    from recurra.tasks.opened import open_run

    runs = []
    for path in paths:
        opened = open_run(path)
        if opened.task.name != task.name:
            noun, wanted = TASKS[opened.task.name].noun, TASKS[task.name].noun
            raise RunError(f"{path} is {noun}; expected {wanted}.")
        name = getattr(opened.config.model, "cell", None)
        runs.append(load_opened(opened, cell if cell is not None and cell.__name__ == name else None))
    return runs


def add_ensemble(options: Options, tasks: Sequence[AnyTask]) -> None:
    """Add `--ensemble` where a task's runs make ensembles."""
    if any(task.makes_ensembles for task in tasks):
        options.add(
            "ensemble", list[str], None, "further runs; their probabilities are averaged with RUN's", "RUN"
        )


def with_ensemble(run: Run, values: Namespace) -> Run:
    """The run, or its ensemble with those that `--ensemble` names.

    Raises:
        RunError: one is missing, of another task, or has other vocabularies.
    """
    paths: list[str] = values.get("ensemble") or []
    others = load_others(paths, run.task, own_cell(values.model.cell))
    return run.with_ensemble(others) if others else run


def build_options(options: Options, values: Namespace, kind: type, **more: Any) -> Any:
    """The options of a task from what was parsed; options that change nothing beside another are refused.

    Raises:
        ConfigError: a value is out of range, or two options contradict each other.
    """
    given = options.given(values, kind)
    for name, (reason, useless) in getattr(kind, "conflicts", {}).items():
        for other in useless:
            if given.get(name) and other in given:
                raise ConfigError(f"--{other.replace('_', '-')}: {reason}; drop one.")
    with as_typed(kind):
        return kind(**given, **more)


@contextmanager
def as_typed(kind: type) -> Iterator[None]:
    """Call an option of a task in a message as it is typed.

    Raises:
        ConfigError: one was raised inside.
    """
    try:
        yield
    except ConfigError as error:
        name, colon, rest = str(error).partition(":")
        known = {field.name for field in dataclasses.fields(kind)}
        if name not in known:
            raise
        raise ConfigError(f"--{name.replace('_', '-')}{colon}{rest}") from error
