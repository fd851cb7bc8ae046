"""`recurra predict`: an output for each line of input, as the lines come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recurra.cli.lines import Line, LineReader, groups_of_lines, open_lines
from recurra.cli.options import Options
from recurra.cli.runs import (
    add_cell,
    add_ensemble,
    add_task_options,
    as_typed,
    build_options,
    encoding_of,
    load_run,
    opened_or_raise,
    peek,
    refuse_options_of_others,
    tasks_of,
    with_ensemble,
)
from recurra.cli.streams import is_terminal
from recurra.cli.tables import print_json
from recurra.errors import DataError
from recurra.tasks.registry import TASKS, check_noun

if TYPE_CHECKING:
    from recurra.tasks.opened import OpenedRun
    from recurra.tasks.prediction import Prediction
    from recurra.tasks.task import AnyTask

    Predict = Callable[[Sequence[str | bytes]], Iterator[Prediction]]


@dataclass
class Counts:
    """What is reported on stderr once the input has ended."""

    lines: int = 0
    bad: int = 0
    symbols: int = 0
    unknown: int = 0
    with_unknown: int = 0
    remark: str = ""
    truncated: int = 0

    def add(self, output: Prediction) -> None:
        """A line was read."""
        self.symbols += output.symbols
        self.unknown += output.unknown
        self.with_unknown += output.unknown > 0
        self.truncated += output.truncated
        self.remark = output.remark

    def notes(self, max_length: int | None) -> Iterator[str]:
        """A line for each thing to say."""
        if self.bad:
            yield f"{self.bad} of {_many(self.lines, 'line')} cannot be used; an error stands in the place of each"
        if self.unknown:
            from recurra.data.unknown import unknown_share

            remark = f"; {self.remark}" if self.remark else ""
            lines = _many(self.with_unknown, "line")
            yield f"{unknown_share(self.unknown, self.symbols)}, in {lines}{remark}"
        if self.truncated:
            limit = "" if max_length is None else f" to data.max_length, {max_length} symbols"
            yield f"{_many(self.truncated, 'line')} cut{limit}"


def predict(verb: str, arguments: list[str]) -> None:
    """Print the model's output for the lines of a file or of standard input.

    Args:
        verb: "predict", or another name that a task has for it.
        arguments: the others.
    """
    opened = peek(arguments)
    tasks = _tasks(verb, opened)
    options = _options(verb, tasks)
    others = {task.name: _options(verb, [task]) for task in _tasks(verb, None)}
    refuse_options_of_others(arguments, opened, options, others)
    values = options.parse(arguments)
    opened = opened_or_raise(opened, values.run)
    _check_verb(verb, opened)
    chosen = build_options(options, values, opened.task.predict_options)
    run = with_ensemble(load_run(opened, values), values)
    with as_typed(type(chosen)):
        run.check(chosen)
    name, stream, encoding = open_lines(values.file, encoding_of(run, values.data.encoding))
    reader = LineReader(name, encoding, run.task.record_key if values.json else None)
    if values.file is None and is_terminal(sys.stdin):
        print("Type a line; Ctrl-D ends.", file=sys.stderr)
    counts, header = Counts(), sys.stdout.isatty() and not values.json

    def answers(lines: Sequence[str | bytes]) -> Iterator[Prediction]:
        return run.iter_predict(lines, chosen)

    at_once = values.batch_size or opened.task.records_at_once
    for group in groups_of_lines(stream, at_once, as_they_are=encoding is None):
        for output in _answer([reader.read(data) for data in group], answers, counts, values.json):
            if header and output.header:
                print(output.header)
            header = False
            print(output.line(), flush=True)
        sys.stdout.flush()
    for note in counts.notes(getattr(run.config.data, "max_length", None)):
        print(f"recurra: {note}.", file=sys.stderr)


def _tasks(verb: str, opened: OpenedRun | None) -> list[AnyTask]:
    """The run's task; where no run is open, all those that have the verb."""
    tasks = tasks_of(opened)
    if opened is None and verb != "predict":
        return [task for task in tasks if verb in TASKS[task.name].verbs]
    return tasks


def _check_verb(verb: str, opened: OpenedRun) -> None:
    if verb == "predict" or verb in TASKS[opened.task.name].verbs:
        return
    wanted = next(name for name, entry in TASKS.items() if verb in entry.verbs)
    check_noun(opened.path, opened.task.name, wanted, verb)


def _options(verb: str, tasks: Sequence[AnyTask]) -> Options:
    summaries = [TASKS[task.name].verbs[verb] for task in tasks if verb in TASKS[task.name].verbs]
    does = f"{summaries[0][0].upper()}{summaries[0][1:]}. " if summaries else ""
    options = Options(
        verb,
        f"{does}An output for each line of FILE or of standard input, in order, as the lines come.",
        "RUN [FILE] [options]",
    )
    options.positional("run", "the run's folder")
    options.positional(
        "file", "a text file, plain or gzip; standard input where there is none", optional=True
    )
    add_task_options(options, tasks, [task.predict_options for task in tasks])
    options.group("what is printed")
    options.flag("json", _json_help(tasks))
    options.group("the input, and the run")
    at_once = ", ".join(str(count) for count in dict.fromkeys(task.records_at_once for task in tasks))
    options.add(
        "batch-size",
        int | None,
        None,
        f"maximum number of lines that are read ahead and predicted together (default: {at_once})",
        "LINES",
    )
    options.add(
        "data.encoding", str | None, None, "the input's text encoding (default: the run's own)", "NAME"
    )
    add_ensemble(options, tasks)
    add_cell(options)
    options.at_least("batch-size", 1)
    return options


def _json_help(tasks: Sequence[AnyTask]) -> str:
    keys = list(dict.fromkeys(task.record_key for task in tasks if task.record_key))
    help = "print JSON, one object per line"
    if not keys:
        return help
    names = " or ".join(f'"{key}"' for key in keys)
    return (
        f"{help}; the input may then be JSON as well, per line a string or an object with {names}, whose other keys "
        'are passed on; a bad line gives an object with "error"'
    )


def _answer(lines: Sequence[Line], predict: Predict, counts: Counts, as_json: bool) -> Iterator[Prediction]:
    """What the lines give, in order; as JSON it is printed here, with a bad line's error in its place, else raised."""
    outputs = predict([line.text for line in lines if line.error is None])
    for line in lines:
        counts.lines += 1
        if line.error is None:
            output = next(outputs)
            counts.add(output)
            if as_json:
                print_json(line.keys | output.as_dict())
            else:
                yield output
        elif as_json:
            counts.bad += 1
            print_json(line.keys | {"error": line.error})
        else:
            raise DataError(line.error)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
