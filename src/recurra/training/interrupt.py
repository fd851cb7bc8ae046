"""Ctrl-C, SIGTERM and SIGHUP (a terminal that closes) as a wish: training ends after the update it is in."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([] if HANGUP is None else [HANGUP])]


class Interrupted(BaseException):
    """Raised only inside `Interrupt.breaking`, where work may be dropped halfway."""


class Interrupt:
    """Notes SIGINT, SIGTERM and SIGHUP while it is entered; a second SIGINT or SIGTERM stops at once.

    A terminal that closes sends SIGHUP once or twice, from the kernel and from the shell, so that is one wish. What is
    printed afterwards goes nowhere, since writing to it would fail before anything is saved.

    A signal that the process was started to ignore (SIGHUP under nohup, SIGINT behind a shell's `&`) stays ignored.
    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._breaking = False
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == HANGUP:
            self._leave_closed_terminals()
            if self.requested:
                return
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._breaking:
            raise Interrupted

    def _leave_closed_terminals(self) -> None:
        for descriptor in self._terminals:
            if not os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """Work that a signal may stop halfway, with `Interrupted`."""
        self._breaking = True
        try:
            if self.requested:
                raise Interrupted
            yield
        finally:
            self._breaking = False
