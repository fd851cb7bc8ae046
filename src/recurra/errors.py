"""The errors recurra raises on purpose.

Each carries one line: the argument, or the file and line; what was expected; what came; the remedy.
The command line prints that line and exits with status 2. Anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
    """The known name most like `name`, as " Did you mean 'x'?", or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {matches[0]!r}?" if matches else ""
