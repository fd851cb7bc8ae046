"""The command line: `recurra VERB ...`.

Results go to standard output, everything else (progress, notes, errors) to standard error. Exit codes:

    0    done
    2    the user can mend it: one line says what was expected, what came, and the remedy
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

INTERRUPTED, CLOSED = 130, 141


@dataclass(frozen=True)
class Verb:
    """One command: its words, what it does, and the function `module:name` that takes the other arguments."""

    words: str
    summary: str
    function: str

    def load(self) -> Callable[[list[str]], int | None]:
        """The function; it returns an exit code, or None for 0."""
        module, _, name = self.function.partition(":")
        function: Callable[[list[str]], int | None] = getattr(import_module(module), name)
        return function


VERBS = (
    Verb("train lm", "train a language model on text", "recurra.cli.train:train_lm"),
    Verb("train translate", "train a translator on pairs of lines", "recurra.cli.train:train_translate"),
    Verb("resume", "go on with a run that was stopped", "recurra.cli.train:resume"),
    Verb("evaluate", "score a run on its test data, or others", "recurra.cli.evaluate:evaluate"),
    Verb("average", "average a run's checkpoints into a new run", "recurra.cli.average:average"),
    Verb("predict", "translate line by line", "recurra.cli.predict:predict"),
    Verb("sample", "let a language model write", "recurra.cli.use:sample"),
    Verb("score", "say how probable each line of text is", "recurra.cli.use:score"),
    Verb("bleu", "score a file of outputs against references", "recurra.cli.score_files:bleu"),
    Verb("inspect gradients", "see how far gradients reach back in time", "recurra.cli.look:gradients"),
    Verb("inspect gates", "colour a text by what each unit does", "recurra.cli.look:gates"),
    Verb(
        "inspect attention",
        "draw what a translation was read from",
        "recurra.cli.look_translation:attention",
    ),
    Verb("inspect beam", "draw a beam search as a tree", "recurra.cli.look_translation:beam"),
    Verb(
        "inspect errors", "tell the model's errors from the search's", "recurra.cli.look_translation:errors"
    ),
    Verb("inspect lengths", "score translators by source length", "recurra.cli.look_translation:lengths"),
    Verb("selfcheck", "compare every backend with the reference", "recurra.cli.bench:selfcheck"),
    Verb("bench cells", "time cells on this machine", "recurra.cli.bench:bench_cells"),
    Verb("explain", "say which backend runs a cell, and why", "recurra.cli.explain:explain"),
)

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
        print(HEAD + _list(VERBS) + TAIL, end="")
        return 0
    if arguments[0] == "--version":
        print(f"recurra {__version__}")
        return 0
    for verb in VERBS:
        words = verb.words.split()
        if arguments[: len(words)] == words:
            return verb.load()(arguments[len(words) :]) or 0
    return _incomplete(arguments)


def _incomplete(arguments: list[str]) -> int:
    """What to say to the first word of a verb alone, and to words that are no verb."""
    first, rest = arguments[0], arguments[1:]
    family = [verb for verb in VERBS if verb.words.split()[0] == first]
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
    known = list(dict.fromkeys(verb.words.split()[0] for verb in VERBS))
    hint = nearest(first, known) or " `recurra --help` lists the verbs."
    raise ConfigError(f"expected a verb, one of {', '.join(known)}; got {first!r}.{hint}")


def _list(verbs: Sequence[Verb]) -> str:
    width = max(len(verb.words) for verb in verbs)
    return "\n" + "".join(f"  {verb.words:<{width}}   {verb.summary}\n" for verb in verbs)
