"""Commands of recurra in forked processes, with limits: what `faults.py` and `fuzz.py` run their thousands of cases in.

The parent imports everything once, and computes in one thread only, so that it can be forked: a case begins within
milliseconds.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn


@dataclass(frozen=True)
class Ended:
    """How a case ended.

    Attributes:
        code: the exit code; negative: the signal that ended it.
        out, err: what it printed.
        seconds: how long it took.
        megabytes: that it held more than the parent.
    """

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float


def prepare() -> None:
    """Import what cases need, with one thread: a process that has run threads must not be forked."""
    import torch

    torch.set_num_threads(1)
    import matplotlib.pyplot as plt
    import sacrebleu  # noqa: F401
    import sentencepiece  # noqa: F401
    import torch._dynamo

    import recurra.cli.average
    import recurra.cli.evaluate
    import recurra.cli.inspect
    import recurra.cli.predict
    import recurra.cli.sample
    import recurra.cli.score_files
    import recurra.cli.train  # noqa: F401
    from recurra.tasks.registry import TASKS, find_task

    for name in TASKS:
        find_task(name)
    plt.switch_backend("agg")
    gc.collect()
    gc.freeze()  # so that collecting in a child does not copy the memory that it shares with this process


def start(work: Callable[[], int | None], folder: Path, seconds: float, gigabytes: float | None) -> int:
    """Fork a process that exits with what the work returns; its output goes to `out` and `err` in a folder."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)  # SIGALRM ends it
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if gigabytes is not None:
            limit = _virtual_memory() + int(gigabytes * 2**30)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number, name in ((1, "out"), (2, "err")):
            opened = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(opened, number)
            os.close(opened)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        code = work() or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - reported as the traceback that a user would see
        traceback.print_exc()
        code = 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                code = code or 70
        os._exit(code)


def wait(child: int, began: float, folder: Path) -> Ended:
    """How a process ended."""
    _, status, usage = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    out, err = (_text(folder / name) for name in ("out", "err"))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Ended(code, out, err, time.perf_counter() - began, max(0.0, (usage.ru_maxrss - own) / 1024))


def run(
    work: Callable[[], int | None], folder: Path, seconds: float = 60.0, gigabytes: float | None = None
) -> Ended:
    """Run one case and wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    return wait(start(work, folder, seconds, gigabytes), began, folder)


def quietly(*arguments: object) -> None:
    """Run a command line in this process; in one thread, so that it can still be forked."""
    from recurra.cli import main

    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main([str(argument) for argument in arguments])
    assert code == 0, said.getvalue()


def command(*arguments: object, stdin: Path | None = None) -> Callable[[], int | None]:
    """The work of a command line."""

    def work() -> int | None:
        from recurra.cli import main

        given = os.open(stdin or os.devnull, os.O_RDONLY)
        os.dup2(given, 0)
        sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        return main([str(argument) for argument in arguments])

    return work


def side_by_side(
    cases: Iterable[int], one: Callable[[int], object], workers: int
) -> Iterator[tuple[int, object]]:
    """What a function gives for each number, each in a process of its own, in the order in which they end.

    The function's value must be plain: it comes back as text.
    """
    running: dict[int, tuple[int, int]] = {}
    waiting = iter(cases)
    while True:
        while len(running) < workers and (number := next(waiting, None)) is not None:
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                os.close(reading)
                _tell(writing, one, number)
            os.close(writing)
            running[child] = number, reading
        if not running:
            return
        child, _ = os.wait()
        number, reading = running.pop(child)
        with open(reading, encoding="utf-8") as pipe:  # noqa: PTH123
            yield number, pipe.read()


def _tell(writing: int, one: Callable[[int], object], number: int) -> NoReturn:
    """Write what the function gives into a pipe, and end this process."""
    code = 1
    try:
        with open(writing, "w", encoding="utf-8") as pipe:
            pipe.write(repr(one(number)))
        code = 0
    except BaseException:  # noqa: BLE001 - a fault of the harness itself; the parent must not go on in its child
        traceback.print_exc()
    finally:
        os._exit(code)


def _text(path: Path) -> str:
    if not path.exists():  # killed before it was opened
        return ""
    with path.open("rb") as file:
        return file.read(1 << 20).decode("utf-8", errors="replace")


def _virtual_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else 1 << 21
    return pages * resource.getpagesize()
