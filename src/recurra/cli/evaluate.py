"""`recurra evaluate`: what a trained model is worth on data that it has not learned from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recurra.cli.options import Options
from recurra.cli.runs import (
    add_cell,
    add_ensemble,
    add_task_options,
    add_test_files,
    as_typed,
    build_options,
    load_run,
    opened_or_raise,
    peek,
    refuse_options_of_others,
    tasks_of,
    test_files,
    with_ensemble,
)
from recurra.cli.tables import print_json, print_table
from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS

if TYPE_CHECKING:
    from recurra.metrics.evaluation import Evaluation, Table
    from recurra.tasks.task import AnyTask


def evaluate(arguments: list[str]) -> None:
    """Print the loss, and what else the run's task measures."""
    opened = peek(arguments)
    tasks = tasks_of(opened)
    options = _options(tasks)
    everything = {task.name: _options([task]) for task in tasks_of(None)}
    refuse_options_of_others(arguments, opened, options, everything)
    values = options.parse(arguments)
    if values.out is not None and (Path(values.out).is_dir() or not Path(values.out).parent.is_dir()):
        raise ConfigError(f"--out: expected a file in a folder that exists, got {values.out}.")
    opened = opened_or_raise(opened, values.run)
    chosen = build_options(options, values, opened.task.evaluate_options)
    run = with_ensemble(load_run(opened, values), values)
    with as_typed(type(chosen)):
        evaluation = run.evaluate(test_files(values, [opened.task]), chosen)
    if values.out is not None:
        _write(evaluation, values.out, f"{opened.path} is {TASKS[opened.task.name].noun}")
    for note in evaluation.notes:
        print(f"recurra: {note}", file=sys.stderr)
    if values.json:
        print_json(evaluation.as_dict())
        return
    print_table(("figure", "value"), list(evaluation.all_figures().items()))
    for signature in evaluation.signatures:
        print(signature)


def _options(tasks: Sequence[AnyTask]) -> Options:
    options = Options(
        "evaluate",
        "Score a run over every token of its test data: those given here, or else of the run's own configuration, or "
        "else its validation data. A translator's outputs are scored too, one for each different source.",
        "RUN [--data.test FILE ...] [--json] [options]",
    )
    options.positional("run", "the run's folder")
    options.group("what is scored")
    add_test_files(options, tasks)
    add_task_options(options, tasks, [task.evaluate_options for task in tasks])
    options.group("the output, and the run")
    options.flag("json", "print JSON")
    options.add(
        "out",
        str | None,
        None,
        "write the outputs that were scored: per line a source, its output and its references, separated by tabs",
        "FILE",
    )
    add_ensemble(options, tasks)
    add_cell(options)
    return options


def _write(evaluation: Evaluation, path: str, what: str) -> None:
    """A line for each row of the table of outputs; white space inside a text becomes a space."""
    from recurra.durable import write_output

    table: Table | None = evaluation.tables.get("outputs")
    if table is None:
        raise ConfigError(f"--out: {what}, whose evaluation has no outputs to write; leave it out.")
    text = "".join("\t".join(" ".join(str(part).split()) for part in row) + "\n" for row in table.rows)
    try:
        write_output(path, text.encode())
    except OSError as error:
        raise ConfigError(f"--out: {path} cannot be written ({error.strerror or error}).") from error
