"""`recurra sample`: sequences drawn from a trained model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from recurra.cli.options import Options, check_text
from recurra.cli.runs import add_cell, as_typed, build_options, load_run, opened_or_raise
from recurra.cli.tables import print_json
from recurra.decode.sample_options import SampleOptions

if TYPE_CHECKING:
    from recurra.decode import Sample
    from recurra.tasks.run import Run


def sample(arguments: list[str]) -> None:
    """Print samples, each as it is finished; without a prompt, on a terminal, ask for prompts."""
    options = Options(
        "sample",
        "Draw samples from a model that gives sequences: texts that continue a prompt, translations of a source. On a "
        "terminal, without --prompt, it asks for prompts.",
        "RUN [--prompt TEXT] [options]",
    )
    options.positional("run", "the run's folder")
    options.group("what is drawn, and how")
    options.add_dataclass(SampleOptions)
    options.group("the output, and the run")
    options.flag("json", "print JSON, one object per line")
    add_cell(options)
    values = options.parse(arguments)
    chosen: SampleOptions = build_options(options, values, SampleOptions)
    run = load_run(opened_or_raise(None, values.run), values)
    if chosen.prompt is None and not values.json and sys.stdin.isatty() and sys.stdout.isatty():
        _converse(run, chosen)
        return
    prompt = check_text("--prompt", chosen.prompt or "")
    with as_typed(SampleOptions):
        stops = run.decoding(chosen).stop is not None
    for number, (one, text) in enumerate(run.samples(chosen)):
        if values.json:
            print_json(_record(number, prompt, one, text))
            continue
        if number and not stops:
            print("-" * 20)
        print(text.removesuffix("\n"), flush=True)


def _record(number: int, prompt: str, one: Sample, text: str) -> dict[str, Any]:
    return {
        "sample": number,
        "prompt": prompt,
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
            for piece in run.pieces(changed(options, {"prompt": prompt})):
                print(piece, end="", flush=True)
        except KeyboardInterrupt:
            pass  # what was being written ends there, and the next prompt is asked for
        print()
