"""`recurra average`: the mean of a run's kept checkpoints as a new run."""

from __future__ import annotations

import sys

from recurra.cli.options import Options
from recurra.cli.runs import add_cell, own_cell
from recurra.cli.tables import print_json, print_table
from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS
from recurra.training.run_place import check_there


def average(arguments: list[str]) -> None:
    """Write the new run, and print its evaluation beside that of the best single weights."""
    options = Options(
        "average",
        "Average the weights of a run's kept checkpoints (as many as it was trained to --training.keep), evaluate the "
        "mean on the validation data, and write it as a new run, which is used as any other.",
        "RUN --out RUN2 [--overwrite] [--json]",
    )
    options.positional("run", "the run's folder")
    options.add("out", str, None, "folder for the new run; it must not hold another one", "RUN2")
    options.flag("overwrite", "replace the run that --out holds")
    options.flag("json", "print JSON")
    add_cell(options)
    values = options.parse(arguments)
    if values.out is None:
        raise ConfigError("--out: expected a folder for the new run, got none; add --out RUN2.")
    check_there(values.run)
    from recurra.tasks import averaging

    made = averaging.average(values.run, values.out, own_cell(values.model.cell), values.overwrite)
    if values.json:
        best = {"step": made.best_step, **made.best_figures}
        print_json({"steps": made.steps, **made.figures, "best": best})
    else:
        rows = [(name, made.best_figures.get(name), figure) for name, figure in made.figures.items()]
        columns = ("figure", f"best single, step {made.best_step}", f"mean of {len(made.steps)}")
        print_table(columns, rows)
    steps = ", ".join(map(str, made.steps))
    print(
        f"recurra: {made.directory.path} holds the mean of steps {steps}; "
        f"{TASKS[made.source.task.name].next.format(run=made.directory.path)}.",
        file=sys.stderr,
    )
