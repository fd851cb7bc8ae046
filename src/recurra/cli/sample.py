"""`recurra sample`: sequences drawn from a trained model."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from recurra.cli.lines import LineReader, groups_of_lines, open_lines
from recurra.cli.options import Options, check_text
from recurra.cli.runs import add_cell, as_typed, build_options, encoding_of, load_run, opened_or_raise
from recurra.cli.streams import is_terminal, piped_input
from recurra.cli.tables import print_json
from recurra.decode.sample_options import SampleOptions
from recurra.errors import ConfigError, DataError, RecurraError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.decode import Sample
    from recurra.tasks.run import Run

DASH = "-"


def sample(arguments: list[str]) -> None:
    """Print samples, each as it is finished; without a prompt, on a terminal, ask for prompts."""
    options = _options()
    values = options.parse(arguments)
    chosen: SampleOptions = build_options(options, values, SampleOptions)
    _check(values, chosen)
    run = load_run(opened_or_raise(None, values.run), values)
    no_prompt = chosen.prompt is None and values.prompts is None
    if no_prompt and not (values.json or values.raw) and is_terminal(sys.stdin) and is_terminal(sys.stdout):
        _converse(run, chosen)
        return
    printer = _Printer(values.json, values.raw)
    for prompt, where in _prompts(run, values, chosen):
        try:
            with as_typed(SampleOptions):
                _sample(run, chosen, prompt, printer)
        except ConfigError as error:
            if not where:
                raise
            raise DataError(f"{where}: {str(error).removeprefix('--prompt: ')}") from error


def _options() -> Options:
    options = Options(
        "sample",
        "Draw samples from a model that gives sequences: texts that continue a prompt, translations of a source. "
        "Without --prompt, prompts are read from standard input where a pipe or a file is connected to it, one per "
        "line; on a terminal, it asks for them.",
        "RUN [--prompt TEXT] [options]",
    )
    options.positional("run", "the run's folder")
    options.group("what is drawn, and how")
    options.add_dataclass(SampleOptions)
    options.group("the input")
    options.add(
        "prompts",
        str | None,
        None,
        "a text file of prompts, one per line, plain or gzip; - is standard input",
        "FILE",
    )
    options.add(
        "data.encoding", str | None, None, "the prompts' text encoding (default: the run's own)", "NAME"
    )
    options.group("the output, and the run")
    options.flag("json", "print JSON, one object per line")
    options.flag(
        "raw", "of a model of bytes, write the drawn bytes as they are, with nothing between samples"
    )
    add_cell(options)
    return options


def _check(values: Namespace, chosen: SampleOptions) -> None:
    """Refuse options that contradict each other.

    Raises:
        ConfigError: naming both.
    """
    if chosen.prompt is not None and values.prompts is not None:
        raise ConfigError("--prompts: --prompt gives the one prompt; drop one.")
    if values.json and values.raw:
        raise ConfigError("--raw: JSON holds text; drop --raw or --json.")
    check_text("--prompt", chosen.prompt or "")


def _prompts(run: Run, values: Namespace, chosen: SampleOptions) -> Iterator[tuple[str | bytes, str]]:
    """Each prompt, with the line that it stands in; one without a line where none is given as a file or pipe."""
    if chosen.prompt is not None:
        yield chosen.prompt, ""
        return
    if values.prompts is None and piped_input("--prompts -") is None:
        yield "", ""
        return
    path = None if values.prompts in (None, DASH) else values.prompts
    name, stream, encoding = open_lines(path, encoding_of(run, values.data.encoding))
    reader = LineReader(name, encoding, None)
    for group in groups_of_lines(stream, 1, as_they_are=encoding is None):
        for line in map(reader.read, group):
            if line.error is not None:
                raise DataError(line.error)
            yield line.text, f"{name}, line {reader.number}"
    if not reader.number:
        print(f"recurra: {name} holds no prompt.", file=sys.stderr)


def _sample(run: Run, options: SampleOptions, prompt: str | bytes, printer: _Printer) -> None:
    """Draw and print the samples of one prompt."""
    from recurra.decode.sampling import sample as draw_samples

    decoding = run.decoding(options, prompt)
    if printer.raw and decoding.data is None:
        raise ConfigError(f"--raw: {run.path} is no model of bytes; leave it out.")
    if decoding.note:
        print(f"recurra: {decoding.note}.", file=sys.stderr)
    drawn = draw_samples(
        run.stepper(decoding, options),
        options.sampling(),
        options.n,
        prompt=decoding.prompt,
        stop=decoding.stop,
        forbid=decoding.forbid,
    )
    for number, one in enumerate(drawn):
        if decoding.data is not None and printer.raw:
            printer.write(decoding.data(one.ids))
        elif printer.json:
            print_json(_record(number, prompt, one, decoding.text(one.ids)))
        else:
            printer.print(decoding.text(one.ids), apart=decoding.stop is None)


class _Printer:
    """Prints samples in the chosen form, at once."""

    def __init__(self, json: bool, raw: bool) -> None:
        self.json, self.raw = json, raw
        self._first = True

    def print(self, text: str, apart: bool) -> None:
        """One sample as text; `apart`: with a rule before it, unless it is the first."""
        if apart and not self._first:
            print("-" * 20)
        self._first = False
        print(text.removesuffix("\n"), flush=True)

    def write(self, data: bytes) -> None:
        """One sample as bytes."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _record(number: int, prompt: str | bytes, one: Sample, text: str) -> dict[str, Any]:
    from recurra.data.vocabulary import text_of

    return {
        "sample": number,
        "prompt": text_of(prompt),
        "text": text,
        "tokens": len(one.ids),
        "log_prob": one.log_prob,
        "stopped": one.stopped,
    }


def _converse(run: Run, options: SampleOptions) -> None:
    """Ask for prompts until the input ends; Ctrl-C ends what is being written, or, at the prompt, the verb."""
    from recurra.tasks.run import changed

    print("Type the beginning of a text, or a source; Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            prompt = input("> ")
        except EOFError:
            print()
            return
        try:
            asked = changed(options, {"prompt": check_text("the prompt", prompt)})
            if note := run.decoding(asked).note:
                print(f"recurra: {note}.", file=sys.stderr)
            for piece in run.iter_pieces(asked):
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            pass  # what was being written ends there, and the next prompt is asked for
        except RecurraError as error:
            print(f"recurra: {error}", file=sys.stderr)  # and the next one may be better
            continue
        print()
