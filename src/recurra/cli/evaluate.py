"""`recurra evaluate`: what a trained model is worth on data that it has not learned from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recurra.cli.options import Options
from recurra.cli.run_options import add_cell, load_others, load_run, named_test_files, own_cell, task_of_run
from recurra.cli.search_options import SEARCH, add_search, search_of
from recurra.cli.tables import print_json, print_table
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.tasks.language_run import LMRun
    from recurra.tasks.translation_run import Evaluation, TranslationRun

OF_TRANSLATION = ("data.test_source", "data.test_target", *SEARCH, "out")


def evaluate(arguments: list[str]) -> None:
    """Print the loss, and what else the run's task measures."""
    options = _options()
    values = options.parse(arguments)
    if task_of_run(values.run) == "translate":
        _evaluate_translation(values)
    else:
        _evaluate_language(values)


def _options() -> Options:
    options = Options(
        "evaluate",
        "Score a run over every token of its test data: those given here, or else of the run's own configuration, or "
        "else its validation data. A translator's outputs are scored too, one for each different source.",
        "RUN [--data.test FILE ...] [--json] [options]",
    )
    options.positional("run", "the run's folder")
    options.group("what is scored")
    options.add(
        "data.test", list[str], None, "text files; of a translator, tab-separated files of pairs", "FILE"
    )
    options.add("data.test_source", list[str], None, "parallel files of a translator: the sources", "FILE")
    options.add("data.test_target", list[str], None, "and their targets", "FILE")
    add_search(options, "n-best")
    options.group("the output, and the run")
    options.flag("json", "print JSON")
    options.add(
        "out",
        str | None,
        None,
        "write a translator's outputs: per line a source, its output and its references, separated by tabs",
        "FILE",
    )
    add_cell(options)
    return options


def _evaluate_language(values: Namespace) -> None:
    for name in OF_TRANSLATION:
        if values.get(name.replace("-", "_")) not in (None, False):
            raise ConfigError(
                f"--{name}: {values.run} is a language model, which has no use for it; leave it out."
            )
    run: LMRun = load_run(values, "lm")
    figures = run.evaluate(values.data.test).as_dict()
    if values.json:
        print_json(figures)
        return
    recipe = figures.pop("recipe")
    print_table(("figure", "value"), [(name, value) for name, value in figures.items() if value is not None])
    print(recipe)


def _evaluate_translation(values: Namespace) -> None:
    beam = search_of(values)
    if values.out is not None and (Path(values.out).is_dir() or not Path(values.out).parent.is_dir()):
        raise ConfigError(f"--out: expected a file in a folder that exists, got {values.out}.")
    run: TranslationRun = load_run(values, "translate")
    others = load_others(values.ensemble or (), "translate", own_cell(values.model.cell))
    found = run.evaluate(*named_test_files(values), beam=beam, greedy=values.greedy, others=others)
    if values.out is not None:
        _write(found, values.out)
    for note in found.notes:
        print(f"recurra: {note}", file=sys.stderr)
    figures = found.as_dict()
    if values.json:
        print_json(figures)
        return
    recipes = figures.pop("recipes")
    print_table(("figure", "value"), list(figures.items()))
    for recipe in recipes.values():
        print(recipe)


def _write(found: Evaluation, path: str) -> None:
    """A line for each source: it, its output and its references; white space inside a text becomes a space."""
    from recurra.durable import write_aside

    rows = zip(found.sources, found.outputs, found.references, strict=True)
    text = "".join(
        "\t".join(" ".join(part.split()) for part in (source, output, *references)) + "\n"
        for source, output, references in rows
    )
    try:
        write_aside(Path(path), text.encode())
    except OSError as error:
        raise ConfigError(f"--out: {path} cannot be written ({error.strerror or error}).") from error
