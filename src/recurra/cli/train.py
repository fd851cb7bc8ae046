"""`recurra train TASK` and `recurra resume`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from recurra.cli import INTERRUPTED
from recurra.cli.options import Options
from recurra.cli.run_options import NEXT, add_cell, own_cell
from recurra.cli.tables import print_table
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from recurra.tasks.run import Run
    from recurra.tasks.task import TaskConfig

TITLES = {
    "model": "The model. Cells that are built in: {cells}.",
    "evaluation": "How outputs are scored.",
    "training": "How long, and how.",
    "optimiser": "How weights follow gradients.",
    "schedule": "How the learning rate changes over the run.",
}
"""What the help says of each section of keys; what it says of the data is the task's."""


def train_lm(arguments: list[str]) -> int:
    """Train a language model, and print what its last evaluation says."""
    from recurra.tasks.lm import LMConfig

    options = Options(
        "train lm",
        "Train a language model on text files. Ctrl-C stops it with the run complete and resumable.",
        "[--data.train FILE ...] --out RUN [options]",
    )
    data = "What to learn from; without --data.train, the text of Python's own documentation."
    return _train(options, LMConfig, data, arguments)


def train_translate(arguments: list[str]) -> int:
    """Train a translator, and print what its last evaluation says."""
    from recurra.tasks.translate import TranslateConfig

    options = Options(
        "train translate",
        "Train an encoder-decoder on pairs of lines, a source and its target. Ctrl-C stops it with the run complete "
        "and resumable.",
        "[--data.train FILE.tsv | --data.train_source FILE --data.train_target FILE] --out RUN [options]",
    )
    data = "What to learn from; without files, the spelling of English words and their pronunciation."
    return _train(options, TranslateConfig, data, arguments)


def _train(options: Options, config: type[TaskConfig], data: str, arguments: list[str]) -> int:
    """Train on the keys of a task's configuration; `data` is what the help says of the section of that name."""
    from recurra.cells import CELLS
    from recurra.tasks.life import train

    options.group("the run")
    options.add("out", str, None, "folder for the run; it must not hold another one", "RUN")
    options.flag("overwrite", "replace the run that --out holds")
    titles = TITLES | {"data": data, "model": TITLES["model"].format(cells=", ".join(CELLS))}
    options.add_config(config, titles)
    values = options.parse(arguments)
    if values.out is None:
        raise ConfigError("--out: expected a folder for the run, got none; add --out RUN.")
    cell = own_cell(values.model.cell)
    return _report(train(options.build(config, values), values.out, cell=cell, overwrite=values.overwrite))


def resume(arguments: list[str]) -> int:
    """Go on with a stopped run to the end that it was started with."""
    options = Options("resume", "Go on with a run that was stopped, to its own end.", "RUN [options]")
    options.positional("run", "the run's folder")
    add_cell(options)
    values = options.parse(arguments)
    from recurra.tasks import life

    return _report(life.resume(values.run, cell=own_cell(values.model.cell)))


def _report(run: Run[Any]) -> int:
    """Print what the last evaluation says; 130 where training was interrupted."""
    result = run.result
    assert result is not None, "a run that was just trained has a result"
    figures = {name: value for name, value in result.metrics.items() if name.startswith(("train_", "valid_"))}
    rows = [("updates", result.step), ("tokens", result.tokens), ("seconds", round(result.seconds))]
    print_table(("figure", "value"), [*rows, *figures.items()])
    if result.interrupted:
        print(f"recurra: stopped; `recurra resume {run.path}` goes on.", file=sys.stderr)
        return INTERRUPTED
    print(f"recurra: {run.path} is complete; {NEXT[run.task].format(run=run.path)}.", file=sys.stderr)
    return 0
