"""What the verbs that open a run have in common: naming the code of its cell, and loading it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recurra.cli.options import FROM_COMMAND_LINE_ONLY, Options
from recurra.errors import RunError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.cells import Cell


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


def load_run(values: Namespace, task: str) -> Any:
    """The run, of that task, that the options `run` and `--model.cell` name.

    Raises:
        RunError: it is missing, damaged, of another task, or of a cell whose code was not named.
    """
    from recurra.tasks.life import load

    run = load(values.run, cell=own_cell(values.model.cell))
    if run.task != task:
        raise RunError(
            f"{values.run}: expected a run of the task {task!r}, got one of {run.task!r}; "
            f"`recurra train {task}` makes one."
        )
    return run
