"""Ctrl-C and SIGTERM as a wish: training ends after the update it is in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(BaseException):
    """Raised only inside `Interrupt.breaking`, where work may be dropped halfway."""


class Interrupt:
    """Notes SIGINT and SIGTERM while it is entered; a second signal stops at once.

    Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._breaking = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._breaking:
            raise Interrupted

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
