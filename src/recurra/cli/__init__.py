"""The command line: `recurra VERB ...`.

Results go to standard output, everything else (progress, notes, errors) to standard error. Exit codes:

    0    done
    2    the user can fix it: one line says what was expected, what came, and the remedy
    130  stopped by Ctrl-C (or SIGTERM, in training); a run that was training is complete and resumable
    141  whoever read standard output has closed it

Anything else is a bug in recurra and keeps its traceback (Python's exit code 1).

Each verb is a function in one of this package's modules, imported when the verb is called, so that
`recurra --help` does not wait for PyTorch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from recurra import __version__
from recurra.errors import ConfigError, RecurraError, nearest
from recurra.tasks.registry import COMMON_VIEWS, TASKS

INTERRUPTED, CLOSED = 130, 141


@dataclass(frozen=True)
class Verb:
    """One command.

    Attributes:
        words: what is typed.
        summary: what it does.
        function: `module:name` of what takes the other arguments.
        given: what the function takes before them: the name of a task or view.
    """

    words: str
    summary: str
    function: str
    given: tuple[str, ...] = ()

    def call(self, arguments: list[str]) -> int | None:
        """Run it; returns an exit code, or None for 0."""
        module, _, name = self.function.partition(":")
        function: Callable[..., int | None] = getattr(import_module(module), name)
        return function(*self.given, arguments)


def verbs() -> list[Verb]:
    """All commands; those of tasks and their views come from the registry."""
    own_views = {name: summary for entry in TASKS.values() for name, summary in entry.views.items()}
    return [
        *(
            Verb(f"train {name}", entry.summary, "recurra.cli.train:train", (name,))
            for name, entry in TASKS.items()
        ),
        Verb("resume", "continue a run that was stopped", "recurra.cli.train:resume"),
        Verb("evaluate", "score a run on its test data, or others", "recurra.cli.evaluate:evaluate"),
        Verb("average", "average a run's checkpoints into a new run", "recurra.cli.average:average"),
        Verb("predict", "give the model's output for each line", "recurra.cli.predict:predict", ("predict",)),
        *(
            Verb(verb, summary, "recurra.cli.predict:predict", (verb,))
            for entry in TASKS.values()
            for verb, summary in entry.verbs.items()
        ),
        Verb("sample", "draw samples from a model", "recurra.cli.sample:sample"),
        Verb("bleu", "score a file of outputs against references", "recurra.cli.score_files:bleu"),
        *(
            Verb(f"inspect {name}", summary, "recurra.cli.inspect:inspect", (name,))
            for name, summary in {**COMMON_VIEWS, **own_views}.items()
        ),
        Verb("selfcheck", "compare every backend with the reference", "recurra.cli.bench:selfcheck"),
        Verb("bench cells", "time cells on this machine", "recurra.cli.bench:bench_cells"),
        Verb("explain", "say which backend runs a cell, and why", "recurra.cli.explain:explain"),
    ]


HEAD = """usage: recurra VERB ...

Recurrent sequence models: train them, use them, look inside them.
"""

TAIL = """
`recurra VERB --help` lists the options of a verb. To begin, without any data of your own:

  recurra train lm --out runs/first --training.minutes 3
  recurra sample runs/first --prompt "The "
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; `arguments` are those of the process unless given. Returns the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except RecurraError as error:
        print(f"recurra: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes standard output once more at exit, and must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED
    return code


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HEAD + _list(verbs()) + TAIL, end="")
        return 0
    if arguments[0] == "--version":
        print(f"recurra {__version__}")
        return 0
    for verb in verbs():
        words = verb.words.split()
        if arguments[: len(words)] == words:
            return verb.call(arguments[len(words) :]) or 0
    return _incomplete(arguments)


def _incomplete(arguments: list[str]) -> int:
    """What to say to the first word of a verb alone, and to words that are no verb."""
    first, rest = arguments[0], arguments[1:]
    family = [verb for verb in verbs() if verb.words.split()[0] == first]
    if family and rest and rest[0] in ("-h", "--help"):
        print(
            f"usage: recurra {first} WHAT ...\n{_list(family)}\n`recurra {family[0].words} --help` tells more."
        )
        return 0
    if family:
        known = [verb.words.split()[1] for verb in family]
        got = repr(rest[0]) if rest else "nothing"
        hint = nearest(rest[0], known) if rest else ""
        raise ConfigError(f"{first}: expected one of {', '.join(known)} after it, got {got}.{hint}")
    known = list(dict.fromkeys(verb.words.split()[0] for verb in verbs()))
    hint = nearest(first, known) or " `recurra --help` lists the verbs."
    raise ConfigError(f"expected a verb, one of {', '.join(known)}; got {first!r}.{hint}")


def _list(shown: Sequence[Verb]) -> str:
    width = max(len(verb.words) for verb in shown)
    return "\n" + "".join(f"  {verb.words:<{width}}   {verb.summary}\n" for verb in shown)
