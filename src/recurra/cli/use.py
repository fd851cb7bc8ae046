"""`recurra sample` and `recurra score`: what a trained language model is good for."""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from recurra.cli.lines import LineReader, groups_of_lines, open_lines
from recurra.cli.options import Options, check_text
from recurra.cli.run_options import add_cell, load_run
from recurra.cli.tables import print_json
from recurra.errors import DataError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.contracts import Stepper
    from recurra.decode import Sample, SamplingConfig
    from recurra.tasks.language_run import LineScore, LMRun

LINES_AT_ONCE = 32
"""How many lines are scored together; of standard input, those that are there."""


# -------------------------------------------------------------------- sample


def sample(arguments: list[str]) -> None:
    """Print samples, each as it is finished; without a prompt, on a terminal, ask for prompts."""
    options = _sample_options()
    values = options.parse(arguments)
    from recurra.decode import SamplingConfig

    config = SamplingConfig(values.max_length, values.temperature, values.top_k, values.top_p, values.seed)
    run: LMRun = load_run(values, "lm")
    stepper = run.model.stepper(1, values.weights)
    stop_at_line_end = True if values.stop_at_line_end else None  # None: as the run's layout has it
    if values.prompt is None and not values.json and sys.stdin.isatty() and sys.stdout.isatty():
        _converse(run, stepper, config, stop_at_line_end)
        return
    prompt = check_text("--prompt", values.prompt or "")
    several_lines = not (values.stop_at_line_end or run.data.layout == "lines")
    for number, (one, text) in enumerate(_samples(run, stepper, config, prompt, values.n, stop_at_line_end)):
        if values.json:
            print_json(_sample_record(number, prompt, one, text))
        else:
            if number and several_lines:
                print("-" * 20)
            print(text.removesuffix("\n"), flush=True)


def _sample_options() -> Options:
    options = Options(
        "sample",
        "Let a language model write. On a terminal, without --prompt, it asks for prompts and goes on with each.",
        "RUN [--prompt TEXT] [options]",
    )
    options.positional("run", "the run's folder")
    options.group("what is written")
    options.add("prompt", str, None, "text that the model reads first and goes on with", "TEXT")
    options.add("n", int, 1, "how many samples", "N")
    options.add("max-length", int, 200, "the most tokens drawn", "TOKENS")
    options.flag("stop-at-line-end", "stop at the first line end; a model of separate lines always does")
    options.group("how tokens are drawn")
    options.add(
        "temperature",
        float,
        1.0,
        "below 1 more probable, above 1 more varied; 0: always the most probable",
        "T",
    )
    options.add("top-k", int | None, None, "draw only from the K most probable", "K")
    options.add("top-p", float | None, None, "draw only from the most probable that together hold P", "P")
    options.add(
        "seed", int | None, None, "the same seed gives the same samples; without it they differ", "SEED"
    )
    options.add(
        "weights",
        Literal["float32", "bfloat16", "int8"] | None,
        None,
        "how the recurrent layers' weights are held; fewer bits are faster to read, and change the loss a little",
    )
    _add_output(options)
    return options


def _samples(
    run: LMRun, stepper: Stepper, config: SamplingConfig, prompt: str, n: int, stop_at_line_end: bool | None
) -> Iterator[tuple[Sample, str]]:
    from recurra import decode

    reading = run.sampling_arguments(prompt, stop_at_line_end)
    for one in decode.sample(stepper, config, n, **reading):
        yield one, run.text_of(reading["prompt"], one.ids)


def _sample_record(number: int, prompt: str, one: Sample, text: str) -> dict[str, Any]:
    return {
        "sample": number,
        "prompt": prompt,
        "text": text,
        "tokens": len(one.ids),
        "log_prob": one.log_prob,
        "stopped": one.stopped,
    }


def _converse(run: LMRun, stepper: Stepper, config: SamplingConfig, stop_at_line_end: bool | None) -> None:
    """Ask for prompts until the input ends; Ctrl-C ends what is being written, or, at the prompt, the verb."""
    print("Type the beginning of a text; Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            prompt = input("> ")
        except EOFError:
            print()
            return
        try:
            for piece in _pieces(run, stepper, config, prompt, stop_at_line_end):
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            pass
        print()


def _pieces(
    run: LMRun, stepper: Stepper, config: SamplingConfig, prompt: str, stop_at_line_end: bool | None
) -> Iterator[str]:
    """The text of one sample, prompt included, piece by piece as it is drawn."""
    import torch

    from recurra import decode

    reading = run.sampling_arguments(prompt, stop_at_line_end)
    shown, drawn, text = 0, [], ""
    for step in decode.draw(stepper, config, **reading):
        drawn.append(step.symbols[0])
        # A character of several bytes stands as U+FFFD at the end until its last byte is drawn.
        text = run.text_of(reading["prompt"], torch.stack(drawn))
        whole = text.rstrip("\ufffd")
        yield whole[shown:]
        shown = max(shown, len(whole))
    yield text[shown:]


# -------------------------------------------------------------------- score


def score(arguments: list[str]) -> None:
    """Print a line per line of input, as they come."""
    options = Options(
        "score",
        "Say how probable each line of a text is: its log-probability (natural), number of tokens and perplexity, "
        "from the zero state, its line end counted. Without FILE, lines are scored as they arrive on standard input.",
        "RUN [FILE] [--tokens | --choose] [--json]",
    )
    options.positional("run", "the run's folder")
    options.positional(
        "file", "a text file, plain or gzip; standard input where there is none", optional=True
    )
    options.group("what is printed")
    options.flag("tokens", "add each token's share of the log-probability")
    options.flag("choose", "a line holds alternatives, separated by tabs; print the most probable one")
    _add_output(options)
    values = options.parse(arguments)
    run: LMRun = load_run(values, "lm")
    encoding = run.data.encoding
    groups = _stdin_groups(encoding) if values.file is None else [_file_lines(values.file, encoding)]
    if values.choose:
        _print_choices(run, itertools.chain.from_iterable(groups), values)
        return
    if sys.stdout.isatty() and not values.json:
        print(f"{'log-probability':>15}  {'tokens':>7}  {'perplexity':>12}  text")
    for lines in groups:
        for line in run.score(lines, batch_size=LINES_AT_ONCE):
            _print_line(line, values)


def _stdin_groups(encoding: str) -> Iterator[list[str]]:
    """The lines of standard input in groups, each of what is there."""
    name, stream = open_lines(None)
    reader = LineReader(name, encoding, may_be_json=False)
    for group in groups_of_lines(stream, LINES_AT_ONCE):
        lines = [reader.read(data) for data in group]
        yield [line.text for line in itertools.takewhile(lambda line: line.error is None, lines)]
        for line in lines:
            if line.error is not None:
                raise DataError(line.error)


def _file_lines(path: str, encoding: str) -> list[str]:
    from recurra.data.text import read_text

    return read_text(path, encoding).removesuffix("\n").split("\n")


def _print_line(line: LineScore, values: Namespace) -> None:
    if values.json:
        print_json(_line_record(line, values.tokens))
        return
    print(f"{line.log_prob:15.4f}  {len(line.tokens):7d}  {_perplexity(line):12.4f}  {line.text}", flush=True)
    if values.tokens:
        for token, log_prob in zip(line.tokens, line.token_log_probs, strict=True):
            print(f"{log_prob:15.4f}  {'':7}  {'':12}  {_visible(token)}", flush=True)


def _print_choices(run: LMRun, lines: Iterable[str], values: Namespace) -> None:
    for line in lines:
        alternatives = line.split("\t")
        scores = list(run.score(alternatives, batch_size=LINES_AT_ONCE))
        best = max(range(len(scores)), key=lambda index: scores[index].log_prob)  # of equals, the first
        if values.json:
            records = [_line_record(one, values.tokens) for one in scores]
            print_json({"best": best, "text": alternatives[best], "alternatives": records})
        elif values.tokens:
            _print_line(scores[best], values)
        else:
            print(alternatives[best], flush=True)


def _line_record(line: LineScore, tokens: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "text": line.text,
        "log_prob": line.log_prob,
        "tokens": len(line.tokens),
        "perplexity": _perplexity(line),
        "unknown": line.unknown,
    }
    if tokens:
        record["token_log_probs"] = list(zip(line.tokens, line.token_log_probs, strict=True))
    return record


def _perplexity(line: LineScore) -> float:
    """The line's perplexity; infinite where it is beyond a float."""
    try:
        return line.perplexity
    except OverflowError:
        return math.inf


def _visible(token: str) -> str:
    """A token's label, quoted where it would begin or end in white space."""
    return token if token == token.strip() and token else repr(token)


def _add_output(options: Options) -> None:
    options.group("the output, and the run")
    options.flag("json", "print JSON, one object per line")
    add_cell(options)
