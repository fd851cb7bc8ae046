"""The command line: `recurra VERB ...`.

Results go to standard output, everything else (progress, notes, errors) to standard error. Exit codes:

    0    done
    2    the user can fix it: one line says what was expected, what came, and the remedy
    130  stopped by Ctrl-C (or SIGTERM, in training); a run that was training is complete and resumable
    141  whoever read standard output has closed it

Anything else is a bug in recurra: exit code 1, and a traceback below one line that says so.

Each verb is a function in one of this package's modules, imported when the verb is called, so that
`recurra --help` does not wait for PyTorch.
"""

from __future__ import annotations

import errno
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from recurra import __version__
from recurra.cli import streams
from recurra.cli.hints import verb_hint
from recurra.errors import ConfigError, RecurraError, gigabytes, nearest, quoted, shortened
from recurra.tasks.registry import COMMON_VIEWS, TASKS

BUG, INTERRUPTED, CLOSED = 1, 130, 141
LONGEST = 480
"""The maximum length of a message, in characters."""
_REFUSED_NAMES = (
    "ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EPERM", "EFBIG", "EMFILE", "ENFILE", "ENOMEM", "ESTALE",
    "EEXIST", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EINVAL", "ENXIO", "ENODEV", "EBUSY", "EXDEV",
)  # fmt: skip
REFUSED = {getattr(errno, name, None) for name in _REFUSED_NAMES} - {None}
"""How the system says that it is full, broken or closed, or that a place is none: nobody's bug, wherever noticed."""
OUT_OF_MEMORY = (
    "can't allocate memory",
    "out of memory",
    "not enough memory",
    "size calculation overflowed",
    "numel:",
    "too large to convert",
    "Overflow when unpacking",
)
"""How PyTorch says that memory does not suffice; it has no class for it on the CPU."""


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
        streams.prepare()
        code = _dispatch(arguments)
        sys.stdout.flush()
    except RecurraError as error:
        print(f"recurra: {one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        streams.discard_output()
        return CLOSED
    except Exception as error:  # noqa: BLE001 - reported, with its traceback
        return report(error, arguments)
    return code


def one_line(message: str) -> str:
    """A message on one line, its middle left out where it is too long to read."""
    message = " ".join(message.splitlines())
    return (
        message
        if len(message) <= LONGEST
        else f"{message[: LONGEST // 2]} ... {message[-LONGEST // 2 + 5 :]}"
    )


def report(error: Exception, arguments: list[str]) -> int:
    """Say in a line that memory does not suffice; else that this is a bug, with what its report needs."""
    if isinstance(error, MemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY):
        print(
            f"recurra: there is not enough memory for these sizes ({_asked_for(str(error))}); make the model, the "
            "batches or the input smaller.",
            file=sys.stderr,
        )
        return 2
    if isinstance(error, OSError) and error.errno in REFUSED:
        place = f"{error.filename}: " if error.filename else ""
        print(
            f"recurra: {one_line(f'{place}{error.strerror}')}; make room, or choose another place.",
            file=sys.stderr,
        )
        return 2
    package = Path(__file__).parents[1]
    frames = [
        one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).is_relative_to(package)
    ]
    where = f", in {frames[-1].filename}, line {frames[-1].lineno}" if frames else ""
    command = shortened(shlex.join(["recurra", *arguments]))
    print(
        f"recurra: this is a bug of recurra {__version__}{where}; please report it with what follows. The command was: "
        f"{command}",
        file=sys.stderr,
    )
    traceback.print_exception(error)
    return BUG


def _asked_for(message: str) -> str:
    """How much memory was asked for, as PyTorch says it."""
    if size := re.search(r"tried to allocate (\d+) bytes", message):
        return f"{gigabytes(int(size[1]))} were asked for at once"
    return shortened((message.splitlines() or ["out of memory"])[0])


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help") or arguments == ["help"]:
        print(HEAD + _list(verbs()) + TAIL, end="")
        return 0
    if arguments[0] == "help":  # recurra help train lm
        arguments = [*arguments[1:], "--help"]
    if arguments[0] in ("--version", "-V", "-v", "version"):
        print(f"recurra {__version__}")
        return 0
    for verb in verbs():
        words = verb.words.split()
        if arguments[: len(words)] == words:
            try:
                return verb.call(arguments[len(words) :]) or 0
            except SystemExit:  # so the parser ends after --help, before what it printed is flushed
                sys.stdout.flush()
                raise
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
        got = quoted(rest[0]) if rest else "nothing"
        hint = nearest(rest[0], known) if rest else ""
        raise ConfigError(f"{first}: expected one of {', '.join(known)} after it, got {got}.{hint}")
    known = list(dict.fromkeys(verb.words.split()[0] for verb in verbs()))
    words = [word for word in arguments if not word.startswith("-")] or [first]
    hint = verb_hint(words, [verb.words for verb in verbs()]) or " `recurra --help` lists the verbs."
    if first.startswith("-") and (after := _verb_after(arguments)):
        hint = f" The verb comes first: recurra {after} ..."
    raise ConfigError(f"expected a verb, one of {', '.join(known)}; got {quoted(first)}.{hint}")


def _verb_after(arguments: Sequence[str]) -> str:
    """The verb that stands behind options, or an empty string."""
    line = f" {' '.join(arguments)} "
    return next((verb.words for verb in verbs() if f" {verb.words} " in line), "")


def _list(shown: Sequence[Verb]) -> str:
    width = max(len(verb.words) for verb in shown)
    return "\n" + "".join(f"  {verb.words:<{width}}   {verb.summary}\n" for verb in shown)
