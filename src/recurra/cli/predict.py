"""`recurra predict`: a line of output for each line of input, as they come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from recurra.cli.lines import Line, LineReader, groups_of_lines, open_lines
from recurra.cli.options import Options
from recurra.cli.run_options import add_cell, load_others, load_run, own_cell
from recurra.cli.search_options import add_search, search_of
from recurra.cli.tables import print_json
from recurra.errors import ConfigError, DataError

if TYPE_CHECKING:
    from recurra.tasks.translation_run import Output, Translated, TranslationRun

    Translate = Callable[[Sequence[str]], Iterator[Translated]]

LINES_AT_ONCE = 256
RULED_OUT = float("-inf")
"""The score, as log 0, of the outputs that a source with fewer than `--n-best` does not have."""


@dataclass
class Counts:
    """What is said on stderr once the input has ended."""

    lines: int = 0
    bad: int = 0
    unknown: int = 0
    with_unknown: int = 0
    truncated: int = 0

    def add(self, output: Translated) -> None:
        """A line was translated."""
        self.unknown += output.unknown
        self.with_unknown += output.unknown > 0
        self.truncated += output.truncated

    def notes(self, max_length: int) -> Iterator[str]:
        """A line for each thing to say."""
        if self.bad:
            yield f"{self.bad} of {_many(self.lines, 'line')} cannot be used; an error stands in the place of each"
        if self.unknown:
            symbols, lines = _many(self.unknown, "symbol"), _many(self.with_unknown, "line")
            yield f"{symbols} of {lines} not known to the vocabulary"
        if self.truncated:
            yield f"{_many(self.truncated, 'line')} cut to data.max_length, {max_length} symbols"


def predict(arguments: list[str]) -> None:
    """Translate the lines of a file or of standard input."""
    options = _options()
    values = options.parse(arguments)
    beam = search_of(values)
    if values.batch_size < 1:
        raise ConfigError(f"--batch-size: expected at least 1, got {values.batch_size}.")
    run: TranslationRun = load_run(values, "translate")
    others = load_others(values.ensemble or (), "translate", own_cell(values.model.cell))

    def translate(lines: Sequence[str]) -> Iterator[Translated]:
        return run.translate(lines, beam, values.greedy, values.copy_unknown, others)

    translate([])  # what this run cannot do is refused before anything is read
    name, stream = open_lines(values.file)
    reader = LineReader(name, values.data.encoding or run.settings.data.encoding, may_be_json=values.json)
    if values.file is None and sys.stdin.isatty():
        print("Type a line to have it translated; Ctrl-D ends.", file=sys.stderr)
    show = _print_record if values.json else partial(_print_plain, n_best=beam.n_best)
    counts = Counts()
    for group in groups_of_lines(stream, values.batch_size):
        _answer([reader.read(data) for data in group], translate, show, counts, values.json)
        sys.stdout.flush()
    for note in counts.notes(run.settings.data.max_length):
        print(f"recurra: {note}.", file=sys.stderr)


def _options() -> Options:
    options = Options(
        "predict",
        "Translate line by line: an output for each line of FILE or of standard input, in order, as the lines come. An "
        "empty line gives an empty output. With --n-best N above 1 each line gives N lines, best first: rank, score "
        "and text, separated by tabs; where fewer outputs were found, the score of the others is -inf.",
        "RUN [FILE] [options]",
    )
    options.positional("run", "the run's folder")
    options.positional(
        "file", "a text file, plain or gzip; standard input where there is none", optional=True
    )
    add_search(options)
    options.group("what is printed")
    options.flag(
        "copy-unknown", "put in the place of each unknown word the source's word that it attends to most"
    )
    options.flag(
        "json",
        "print JSON, one object per line; the input may then be JSON as well, per line a string or an object with "
        '"source", whose other keys are passed on; a bad line gives an object with "error"',
    )
    options.group("the input, and the run")
    options.add(
        "batch-size",
        int,
        LINES_AT_ONCE,
        "the most lines that are read ahead and translated together",
        "LINES",
    )
    options.add(
        "data.encoding", str | None, None, "the input's text encoding; without it, the run's own", "NAME"
    )
    add_cell(options)
    return options


def _answer(
    lines: Sequence[Line],
    translate: Translate,
    show: Callable[[Line, Translated], None],
    counts: Counts,
    go_on: bool,
) -> None:
    """Print what the lines give, in order; `go_on`: at a bad one print its error and go on, else raise it."""
    outputs = translate([line.text for line in lines if line.error is None])
    for line in lines:
        counts.lines += 1
        if line.error is None:
            output = next(outputs)
            counts.add(output)
            show(line, output)
        elif go_on:
            counts.bad += 1
            print_json(line.keys | {"error": line.error})
        else:
            raise DataError(line.error)


def _print_plain(line: Line, output: Translated, n_best: int) -> None:
    if n_best == 1:
        print(output.outputs[0].text)
        return
    found = [(one.score, one.text) for one in output.outputs]
    for rank, (score, text) in enumerate([*found, *[(RULED_OUT, "")] * (n_best - len(found))], start=1):
        print(f"{rank}\t{score:.4f}\t{text}")


def _print_record(line: Line, output: Translated) -> None:
    best = output.outputs[0]
    record = {
        "source": output.source,
        "target": best.text,
        "score": best.score,
        "log_prob": best.log_prob,
        "unknown": output.unknown,
        "truncated": output.truncated,
        "n_best": [_output_record(one) for one in output.outputs],
    }
    print_json(line.keys | record)


def _output_record(one: Output) -> dict[str, Any]:
    return {"text": one.text, "score": one.score, "log_prob": one.log_prob, "tokens": one.tokens}


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
