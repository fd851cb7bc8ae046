"""A time limit for a part of a test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Late(BaseException):
    """Passes through whatever catches exceptions."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises `Late` where what is inside takes longer."""

    def late(*_: object) -> None:
        raise Late(f"took over {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left)  # the clock of pytest-timeout goes on
