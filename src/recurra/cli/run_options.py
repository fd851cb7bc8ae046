"""What the verbs that open a run have in common: naming the code of its cell, and loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.cli.options import FROM_COMMAND_LINE_ONLY, Options
from recurra.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jsonargparse import Namespace

    from recurra.cells import Cell

NEXT = {
    "lm": "`recurra sample {run}` lets it write",
    "translate": "`recurra predict {run} < FILE` translates",
}
"""What a run of each task is good for."""


def add_cell(options: Options) -> None:
    """Add `--model.cell`: a run of a user's own cell keeps no code, so the caller names it."""
    options.add(
        FROM_COMMAND_LINE_ONLY,
        str | None,
        None,
        "the code of a run's own cell, mine.py:MyCell",
        "FILE.py:CLASS",
    )


def named_test_files(values: Namespace) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """What `--data.test`, `--data.test_source` and `--data.test_target` name."""
    return values.data.test or (), values.data.test_source or (), values.data.test_target or ()


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


def load_run(values: Namespace, task: str) -> Any:
    """The run, of that task, that the options `run` and `--model.cell` name.

    Raises:
        RunError: it is missing, damaged, of another task, or of a cell whose code was not named.
    """
    from recurra.tasks.life import load

    check_task(values.run, task)
    return load(values.run, cell=own_cell(values.model.cell))


def load_others(paths: Sequence[str], task: str, cell: type[Cell] | None) -> list[Any]:
    """Further runs of that task; `cell` serves those of them whose cell has its name.

    Raises:
        RunError: as `load_run`.
    """
    from recurra.tasks.life import load, open_run

    runs = []
    for path in paths:
        check_task(path, task)
        name = getattr(open_run(path)[2].model, "cell", None)
        runs.append(load(path, cell=cell if cell is not None and cell.__name__ == name else None))
    return runs


def task_of_run(path: str) -> str:
    """The name of a run's task.

    Raises:
        RunError: the run is missing or damaged.
    """
    from recurra.tasks.life import open_run

    return open_run(path)[0].name


def check_task(path: str, task: str) -> None:
    """Refuse a run of another task, saying what that one is good for.

    Raises:
        RunError: it is one, or is missing or damaged.
    """
    own = task_of_run(path)
    if own != task:
        raise RunError(
            f"{path}: expected a run of the task {task!r}, got one of {own!r}; {NEXT[own].format(run=path)}, and "
            f"`recurra train {task}` makes a run of {task!r}."
        )
