"""`recurra train TASK` and `recurra resume`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recurra.cli import INTERRUPTED
from recurra.cli.options import Options
from recurra.cli.runs import add_cell, own_cell
from recurra.cli.tables import print_table
from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS, find_task

if TYPE_CHECKING:
    from recurra.tasks.run import Run

TITLES = {
    "model": "The model. Built-in cells: {cells}.",
    "evaluation": "How outputs are scored.",
    "training": "Limits, batches, precision and checkpoints.",
    "optimiser": "How weights follow gradients.",
    "schedule": "How the learning rate changes over the run.",
}
"""What the help says of each section of keys; what it says of the data is in the registry."""


def train(name: str, arguments: list[str]) -> int:
    """Train on the keys of a task's configuration, and print what its last evaluation says.

    Args:
        name: of the task.
        arguments: the others.
    """
    from recurra.cells.names import NAMES

    entry, config = TASKS[name], find_task(name).config
    summary = (
        f"{entry.summary[0].upper()}{entry.summary[1:]}. Ctrl-C stops it with the run complete and resumable."
    )
    options = Options(f"train {name}", summary, f"{entry.usage} --out RUN [options]".strip())
    options.group("the run")
    options.add("out", str, None, "folder for the run; it must not hold another one", "RUN")
    options.flag("overwrite", "replace the run that --out holds")
    titles = TITLES | {"data": entry.data, "model": TITLES["model"].format(cells=", ".join(NAMES))}
    options.add_config(config, titles)
    values = options.parse(arguments)
    if values.out is None:
        raise ConfigError("--out: expected a folder for the run, got none; add --out RUN.")
    cell = own_cell(values.get("model.cell"))
    from recurra.tasks import life

    return _report(life.train(options.build(config, values), values.out, cell, values.overwrite))


def resume(arguments: list[str]) -> int:
    """Continue a stopped run to the end that it was started with."""
    options = Options("resume", "Continue a run that was stopped, to its own end.", "RUN [options]")
    options.positional("run", "the run's folder")
    add_cell(options)
    values = options.parse(arguments)
    from recurra.tasks import life

    return _report(life.resume(values.run, cell=own_cell(values.model.cell)))


def _report(run: Run) -> int:
    """Print what the last evaluation says; 130 where training was interrupted."""
    result = run.result
    assert result is not None, "a run that was just trained has a result"
    figures = {name: value for name, value in result.metrics.items() if name.startswith(("train_", "valid_"))}
    rows = [("updates", result.step), ("tokens", result.tokens), ("seconds", round(result.seconds))]
    print_table(("figure", "value"), [*rows, *figures.items()])
    if result.interrupted:
        print(f"recurra: stopped; `recurra resume {run.path}` continues it.", file=sys.stderr)
        return INTERRUPTED
    print(
        f"recurra: {run.path} is complete; {TASKS[run.task.name].next.format(run=run.path)}.", file=sys.stderr
    )
    return 0
