"""The standard streams, whatever they are connected to.

`prepare`, called once at the start, makes of them what every verb relies on:

- text goes out as UTF-8 whatever the locale says; what UTF-8 cannot write, as parts of file names that are no text,
  is written as `\\udc80`;
- a stream that another process has made non-blocking is waited for, not given up;
- standard output that is closed is refused before any work is done; one that cannot be written (a full disk) ends the
  command in one line;
- standard error that is closed or cannot be written loses its messages and stops nothing: hours of training must not
  end because nobody reads their progress.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from recurra.errors import ConfigError, DataError, RecurraError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

IDLE_SECONDS = 5.0
"""How long a pipe on standard input may give nothing where a verb takes input but does not need it."""


class OutputError(RecurraError):
    """Standard output cannot be written."""


def prepare() -> None:
    """Make the standard streams of this process as this module says; streams that a caller has replaced are left alone.

    Raises:
        ConfigError: standard output is closed.
    """
    _reserve_descriptors()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    elif sys.stderr is sys.__stderr__:
        sys.stderr = _text_output(sys.stderr, lossy=True, line_buffering=True)
    if sys.stdin is not None and sys.stdin is sys.__stdin__:
        usual_input: Any = sys.stdin
        waiting = io.BufferedReader(_Input(usual_input.fileno()))
        sys.stdin = io.TextIOWrapper(waiting, encoding="utf-8", errors="surrogateescape")
    if sys.stdout is None:
        sys.stdout = _nowhere()
        raise ConfigError("standard output is closed; redirect it to a file, or to /dev/null.")
    if sys.stdout is sys.__stdout__:
        usual: Any = sys.stdout
        usual.flush()
        at_once = usual.line_buffering or usual.write_through
        sys.stdout = _text_output(usual, lossy=False, line_buffering=at_once)
        atexit.register(_flush_or_discard)


def standard_input() -> io.BufferedIOBase:
    """The bytes of standard input.

    Raises:
        ConfigError: it is closed.
    """
    if sys.stdin is None:
        raise ConfigError("standard input is closed; name a file, or give < FILE.")
    return cast(io.BufferedIOBase, sys.stdin.buffer)


def piped_input(instead: str) -> io.BufferedIOBase | None:
    """The bytes of standard input where a pipe or a file is connected to it and holds some, else None.

    A program that is started by another one often inherits a pipe that nobody writes to and nobody closes, so a pipe
    that gives nothing for `IDLE_SECONDS` counts as none, with a note on stderr.

    Args:
        instead: the option that waits for it, for the note.
    """
    try:
        descriptor = -1 if sys.stdin is None else sys.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):  # closed, or an object of the caller's
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return None
    if not select.select([descriptor], [], [], IDLE_SECONDS)[0]:
        print(
            f"recurra: standard input is a pipe that has given nothing for {IDLE_SECONDS:g} seconds, and is left "
            f"alone; {instead} waits for it.",
            file=sys.stderr,
        )
        return None
    stream: Any = sys.stdin.buffer
    return stream if stream.peek(1) else None


def is_terminal(stream: Any) -> bool:
    """Whether a standard stream is a terminal; one that is closed is none."""
    return stream is not None and stream.isatty()


def discard_output() -> None:
    """Let what is left of standard output, and all that follows, go nowhere; at exit it is flushed once more."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # an object of the caller's
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def _flush_or_discard() -> None:
    """At exit, where it is too late for another exit code: main has flushed already, or failed for another reason."""
    try:
        sys.stdout.flush()
    except (OutputError, OSError, ValueError):
        discard_output()


def _reserve_descriptors() -> None:
    """Connect closed standard streams to nothing, so that no file that is opened later takes their numbers.

    Otherwise what a library writes to standard error would end up in that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(null, True)


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")  # stays open as long as the process


def _text_output(stream: Any, lossy: bool, line_buffering: bool) -> io.TextIOWrapper:
    raw = _Output(stream.fileno(), lossy)
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=line_buffering
    )


class _Stream(io.RawIOBase):
    """A descriptor that is not closed with the object."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)


class _Input(_Stream):
    """Reading that waits, and fails in one line."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while True:
            try:
                return os.readv(self._descriptor, [buffer])
            except BlockingIOError:
                select.select([self._descriptor], [], [])
            except OSError as error:
                raise DataError(f"standard input: cannot be read ({error.strerror or error}).") from error


class _Output(_Stream):
    """Writing that waits, and fails in one line or, `lossy`, never."""

    def __init__(self, descriptor: int, lossy: bool) -> None:
        super().__init__(descriptor)
        self._lossy = lossy

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError as error:
                if self._lossy:
                    return memoryview(data).nbytes
                if isinstance(error, BrokenPipeError):
                    raise
                raise OutputError(
                    f"standard output: could not be written ({error.strerror or error})."
                ) from error
