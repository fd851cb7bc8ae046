"""`recurra inspect VIEW`: pictures, pages and numbers of what a model does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recurra.cli.options import Options, check_text
from recurra.cli.runs import (
    add_cell,
    add_test_files,
    as_typed,
    build_options,
    load_others,
    load_run,
    opened_or_raise,
    own_cell,
    peek,
    tasks_of,
    test_files,
)
from recurra.cli.shown import add_output, show
from recurra.errors import ConfigError, RunError
from recurra.tasks.registry import COMMON_VIEWS, TASKS
from recurra.training.run_place import check_there

if TYPE_CHECKING:
    from recurra.tasks.opened import OpenedRun
    from recurra.tasks.task import AnyTask, View


def inspect(name: str, arguments: list[str]) -> None:
    """Show a view of a run.

    Args:
        name: of the view.
        arguments: the others.
    """
    if name == "gradients" and any(each.partition("=")[0] == "--cell" for each in arguments):
        from recurra.cli.inspect_cell import gradients

        gradients(arguments)
        return
    opened = peek(arguments)
    if opened is None and arguments and not arguments[0].startswith("-"):
        check_there(arguments[0])
    tasks = _tasks(name, opened)
    view = _view(name, tasks[0])
    options = _options(name, view, tasks)
    values = options.parse(arguments)
    paths = values.run if view.several else [values.run]
    opened = opened_or_raise(opened, paths[0])
    _check_view(name, opened)
    for option in ("text", "source", "target"):
        if isinstance(given := values.get(option), str):
            check_text(f"--{option}", given)
    out = _check_out(values.out)
    more = {"files": test_files(values, [opened.task])} if _reads_data(view) else {}
    chosen = build_options(options, values, view.options, **more)
    run = load_run(opened, values)
    more_runs = [load_others(paths[1:], opened.task, own_cell(values.model.cell))] if view.several else []
    with as_typed(view.options):
        shown = view.show(run, chosen, *more_runs)
    show(shown, name, out or run.path / "plots", values.json)


def _tasks(name: str, opened: OpenedRun | None) -> list[AnyTask]:
    """The run's task where it has the view, otherwise all that have it."""
    tasks = tasks_of(opened)
    with_it = [task for task in tasks if name in COMMON_VIEWS or name in TASKS[task.name].views]
    return with_it or _tasks(name, None)


def _view(name: str, task: AnyTask) -> View:
    from recurra.tasks.common_views import COMMON_VIEWS as VIEWS

    return VIEWS[name] if name in VIEWS else task.views()[name]


def _check_view(name: str, opened: OpenedRun) -> None:
    """Raises RunError unless runs of the task have the view."""
    entry = TASKS[opened.task.name]
    if name not in COMMON_VIEWS and name not in entry.views:
        known = ", ".join([*COMMON_VIEWS, *entry.views])
        raise RunError(f"{opened.path} is {entry.noun}, which has no view {name!r}; inspect one of {known}.")


def _options(name: str, view: View, tasks: Sequence[AnyTask]) -> Options:
    usage = f"{'RUN...' if view.several else 'RUN'} {view.usage}"
    options = Options(f"inspect {name}", view.summary, usage)
    options.positional(
        "run", "the runs' folders" if view.several else "the run's folder", several=view.several
    )
    options.group("what is shown")
    options.add_dataclass(view.options, leave_out=("files",))
    if _reads_data(view):
        options.group("the data")
        add_test_files(options, tasks)
    add_output(options)
    add_cell(options)
    return options


def _reads_data(view: View) -> bool:
    from recurra.tasks.task import OnData

    return issubclass(view.options, OnData)


def _check_out(out: str | None) -> Path | None:
    if out is None:
        return None
    if Path(out).suffix.lower() not in ("", ".png"):
        raise ConfigError(f"--out: expected a file that ends in .png, or a folder, got {out!r}.")
    return Path(out)
