"""The errors recurra raises on purpose.

Each carries one line: the argument, or the file and line; what was expected; what came; the remedy.
The command line prints that line and exits with status 2. Anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

SYNONYMS = {"gpu": "cuda", "rnn": "elman", "sgru": "simplified_gru", "bf16": "bfloat16", "fp32": "float32"}
"""Other words for names, each taken where the name is known."""
QUOTED = 200
"""The maximum length of a value in a message."""


class RecurraError(Exception):
    """What the user can fix. `str(error)` is one line."""


class CellError(RecurraError, TypeError):
    """A cell's class declares or computes something outside the notation."""


class ShapeError(RecurraError, ValueError):
    """A tensor argument has another shape, range or type than expected."""


class StateError(RecurraError, ValueError):
    """A recurrent state does not fit the layer or the batch."""


class BackendError(RecurraError, ValueError):
    """A named backend cannot run this program with these options."""


class ConfigError(RecurraError, ValueError):
    """A configuration key or value is unknown, out of range, or contradicts another."""


class DataError(RecurraError, ValueError):
    """A data file is missing, empty, wrongly encoded, or does not hold what was expected."""


class RunError(RecurraError, ValueError):
    """A run directory is missing, damaged, foreign, or holds another run."""


class TrainingError(RecurraError, RuntimeError):
    """Training cannot continue: the loss is not a number, or a disk is full."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, upper case or lower, as " Did you mean 'x'?", or an empty string."""
    by_folded = {one.casefold(): one for one in known}
    folded = name[:QUOTED].casefold()
    folded = folded if folded in by_folded else SYNONYMS.get(folded, folded)
    matches = difflib.get_close_matches(folded, list(by_folded), n=1, cutoff=0.5)
    return f" Did you mean {by_folded[matches[0]]!r}?" if matches else ""


def quoted(value: Any) -> str:
    """The value as Python writes it, on one line of at most about `QUOTED` characters, its middle left out.

    What is left out is never made either, so that a huge value costs no more than a small one.
    """
    shown = _QUOTING.repr(value)
    return shown if len(shown) <= QUOTED else f"{shown[: QUOTED // 2]}...{shown[-QUOTED // 4 :]}"


def shortened(text: str) -> str:
    """A text in a message without quotation marks, on one line and its middle left out as by `quoted`."""
    return quoted(text)[1:-1]


def gigabytes(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 2**30:,.1f} GiB"


class _Quoting(reprlib.Repr):
    """`reprlib`, which shows only the ends of long values, with room for a line."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = self.maxother = QUOTED
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 20

    def repr_int(self, value: int, level: int) -> str:
        """Python refuses to write numbers of thousands of digits."""
        if abs(value) >> 1024:
            return f"a whole number of about {int(value.bit_length() * 0.30103)} digits"
        return super().repr_int(value, level)


_QUOTING = _Quoting()
