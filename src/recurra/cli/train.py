"""`recurra train lm` and `recurra resume`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recurra.cli import INTERRUPTED
from recurra.cli.options import Options
from recurra.cli.run_options import add_cell, own_cell
from recurra.cli.tables import print_table
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from recurra.tasks.language_run import LMRun

TITLES = {
    "data": "What to learn from; without --data.train, the text of Python's own documentation.",
    "model": "The model. Cells that are built in: {cells}.",
    "training": "How long, and how.",
    "optimiser": "How weights follow gradients.",
    "schedule": "How the learning rate changes over the run.",
}


def train_lm(arguments: list[str]) -> int:
    """Train a language model, and print what its last evaluation says."""
    from recurra.cells import CELLS
    from recurra.tasks.lm import LMConfig, train

    options = Options(
        "train lm",
        "Train a language model on text files. Ctrl-C stops it with the run complete and resumable.",
        "[--data.train FILE ...] --out RUN [options]",
    )
    options.group("the run")
    options.add("out", str, None, "folder for the run; it must not hold another one", "RUN")
    options.flag("overwrite", "replace the run that --out holds")
    titles = TITLES | {"model": TITLES["model"].format(cells=", ".join(CELLS))}
    options.add_config(LMConfig, titles)
    values = options.parse(arguments)
    if values.out is None:
        raise ConfigError("--out: expected a folder for the run, got none; add --out RUN.")
    cell = own_cell(values.model.cell)
    run = train(options.build(LMConfig, values), values.out, cell=cell, overwrite=values.overwrite)
    return _report(run)


def resume(arguments: list[str]) -> int:
    """Go on with a stopped run to the end that it was started with."""
    options = Options("resume", "Go on with a run that was stopped, to its own end.", "RUN [options]")
    options.positional("run", "the run's folder")
    add_cell(options)
    values = options.parse(arguments)
    from recurra.tasks import lm

    return _report(lm.resume(values.run, cell=own_cell(values.model.cell)))


def _report(run: LMRun) -> int:
    """Print what the last evaluation says; 130 where training was interrupted."""
    result = run.result
    assert result is not None, "a run that was just trained has a result"
    figures = {name: value for name, value in result.metrics.items() if name.startswith(("train_", "valid_"))}
    rows = [("updates", result.step), ("tokens", result.tokens), ("seconds", round(result.seconds))]
    print_table(("figure", "value"), [*rows, *figures.items()])
    if result.interrupted:
        print(f"recurra: stopped; `recurra resume {run.path}` goes on.", file=sys.stderr)
        return INTERRUPTED
    print(f"recurra: {run.path} is complete; `recurra sample {run.path}` lets it write.", file=sys.stderr)
    return 0
