"""`recurra train TASK` and `recurra resume`."""

from __future__ import annotations

import os
import re
import sys
from argparse import SUPPRESS
from typing import TYPE_CHECKING, Any, get_type_hints

from recurra.cli import INTERRUPTED
from recurra.cli.options import FROM_COMMAND_LINE_ONLY, Options
from recurra.cli.runs import add_cell, own_cell
from recurra.cli.tables import print_table
from recurra.data.files import read_bytes
from recurra.errors import ConfigError
from recurra.settings import fields_of, help_of, keys_with
from recurra.tasks.changes import changeable
from recurra.tasks.registry import TASKS, find_task
from recurra.training.run_place import check_free, check_there

if TYPE_CHECKING:
    from recurra.tasks.run import Run
    from recurra.training.result import Result

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
    config = find_task(name).config
    options = _options(name)
    values = options.parse(arguments)
    if values.out is None:
        raise ConfigError("--out: expected a folder for the run, got none; add --out RUN.")
    for key in keys_with(config, "files"):  # what is missing is said at once
        named = values.get(key) or []
        for path in [named] if isinstance(named, str) else named:
            if key.startswith("data.") and not os.path.lexists(path):
                read_bytes(path)
    check_free(values.out, values.overwrite)
    cell = own_cell(values.get("model.cell"))
    from recurra.tasks import life

    return _report(life.train(options.build(config, values), values.out, cell, values.overwrite))


def _options(name: str) -> Options:
    """The options of `recurra train NAME`: every key of the task's configuration, and where the run goes."""
    from recurra.cells.names import NAMES

    entry = TASKS[name]
    summary = (
        f"{entry.summary[0].upper()}{entry.summary[1:]}. Ctrl-C stops it with the run complete and resumable."
    )
    options = Options(f"train {name}", summary, f"{entry.usage} --out RUN [options]".strip())
    options.group("the run")
    options.add("out", str, None, "folder for the run; it must not hold another one", "RUN")
    options.flag("overwrite", "replace the run that --out holds")
    titles = TITLES | {"data": entry.data, "model": TITLES["model"].format(cells=", ".join(NAMES))}
    options.add_config(find_task(name).config, titles)
    return options


def resume(arguments: list[str]) -> int:
    """Continue a run, to the end that it was started with or to another one."""
    options = Options(
        "resume",
        "Continue a run that was stopped, to its own end; or, with another limit, a run that has ended. Options "
        "replace the run's settings from here on, which the run records; what is left out stays as it is.",
        "RUN [options]",
    )
    options.positional("run", "the run's folder")
    add_cell(options)
    _add_changes(options)
    values = options.parse(arguments)
    check_there(values.run)
    changes = {
        key: value for key, value in options.given_keys(values).items() if key != FROM_COMMAND_LINE_ONLY
    }
    from recurra.tasks import life

    return _report(life.resume(values.run, own_cell(values.model.cell), changes))


def _add_changes(options: Options) -> None:
    """Add the keys of all tasks; those that a run keeps are not in the help, but refused with the reason."""
    titles = TITLES | {"data": "Files that have moved; their content must be the same."}
    for config in (find_task(name).config for name in TASKS):
        shown = {key for key, field in changeable(config).items() if not field.metadata.get("fixed")}
        for section, kind in get_type_hints(config).items():
            helps = help_of(kind)
            keys = [item for item in fields_of(config) if item[0].startswith(f"{section}.")]
            keys = [item for item in keys if item[0] not in options.names]
            if any(key in shown for key, _, _ in keys):
                options.group(f"{section}.*", titles.get(section, ""))
            for key, field, hint in keys:
                help = re.sub(r" \(default: [^()]*\)", "", helps.get(field.name, ""))
                metavar = "FILE" if field.metadata.get("files") else None
                options.add(key, hint, None, help if key in shown else SUPPRESS, metavar)


def _report(run: Run) -> int:
    """Print what the best and the last evaluation say; 130 where training was interrupted."""
    result = run.result
    assert result is not None, "a run that was just trained has a result"
    _print_figures(result, run.config.training.weights)
    if result.interrupted:
        print(f"recurra: stopped; `recurra resume {run.path}` continues it.", file=sys.stderr)
        return INTERRUPTED
    print(
        f"recurra: {run.path} is complete; {TASKS[run.task.name].next.format(run=run.path)}.", file=sys.stderr
    )
    return 0


def _print_figures(result: Result, weights: str) -> None:
    """The figures of the best evaluation and of the last one, where it is another, and whose weights are kept."""
    best, last = result.best_metrics, result.metrics
    columns: dict[str, dict[str, Any]] = {}
    if best and best.get("step") == last.get("step"):
        columns[f"step {best['step']}: best, last"] = best
    else:
        for name, line in (("best", best), ("last", last)):
            if line:
                kept = ": kept" if name == weights else ""
                columns[f"{name} (step {line['step']}{kept})"] = line
    if not columns:
        columns["value"] = {"step": result.step, "tokens": result.tokens, "seconds": result.seconds}
    names = [name for name in last if name.startswith(("train_", "valid_"))]
    rows: list[list[object]] = [
        ["updates", *(line.get("step", 0) for line in columns.values())],
        ["tokens", *(line.get("tokens", 0) for line in columns.values())],
        ["seconds", *(round(line.get("seconds") or 0) for line in columns.values())],
        *([name, *(line.get(name, "") for line in columns.values())] for name in names),
    ]
    print_table(("figure", *columns), rows)
