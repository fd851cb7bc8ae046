"""One writer per run: a lock on the file `.lock` in it, which the operating system releases when a process ends."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import sys
import time
import weakref
from pathlib import Path

from recurra.durable import NO_LINKS
from recurra.errors import RunError, quoted

LOCK = ".lock"
_held: weakref.WeakSet[RunLock] = weakref.WeakSet()
UNSUPPORTED = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)


class RunLock:
    """The right to write into a run's folder.

        with RunLock(path):
            ...

    Args:
        folder: the run.

    Raises:
        RunError: another process, or another call in this one, writes into it; or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        descriptor = _locked(folder)
        if descriptor is None:
            return
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_me()).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise RunError(
                f"{folder / LOCK}: cannot be written ({error.strerror}); make room, or make its folder writable."
            ) from error
        self._descriptor = descriptor
        _held.add(self)

    def release(self) -> None:
        """Let others write."""
        if self._descriptor is not None:
            import fcntl

            # Closing is not enough where a child process has it open too.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self.forget()

    def forget(self) -> None:
        """Leave the lock to the process that this one was forked from."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> RunLock:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def _locked(folder: Path) -> int | None:
    """A descriptor of the lock file, locked; None, with a note, where the system has no locks.

    Raises:
        RunError: somebody else has it, or it cannot be opened.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    while True:
        descriptor = _open(folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_ours(descriptor, folder / LOCK):
                return descriptor
        except BlockingIOError:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise RunError(
                f"{folder}: {holder} is writing into it; wait until it has ended, or stop it."
            ) from None
        except OSError as error:
            os.close(descriptor)
            if error.errno not in UNSUPPORTED:
                raise
            print(
                f"recurra: note: {folder} cannot be locked here ({error.strerror}); start nothing else in it.",
                file=sys.stderr,
            )
            return None
        os.close(descriptor)


def _is_ours(descriptor: int, path: Path) -> bool:
    """Whether the file that was locked is the one at `path`, and nowhere else; if not, it is to be opened again.

    Another run may have come to the folder's place between the opening and the locking. And a snapshot made of hard
    links (`cp -al`) shares the file with its run: the first of the two to be locked gets one of its own.
    """
    mine = os.fstat(descriptor)
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
        return False
    if mine.st_nlink > 1:
        path.unlink()
        return False
    return True


def _open(folder: Path) -> int:
    """A descriptor of the lock file, which is made where there is none."""
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINKS, 0o666)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be opened ({error.strerror}), so that nothing is written into the run; make its folder "
            "writable, and remove what is not a plain file."
        ) from error
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise RunError(f"{path}: expected a plain file; remove it.")
    return descriptor


def _me() -> dict[str, str | int]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "command": " ".join([_program(), *sys.argv[1:]])[:1000],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _program() -> str:
    """The running program's name, `recurra` also where it was started as `python -m recurra`."""
    path = Path(sys.argv[0])
    return path.parent.name if path.name == "__main__.py" else path.name


def _holder(descriptor: int) -> str:
    """Who holds the lock, in words."""
    try:
        values = json.loads(os.pread(descriptor, 1 << 14, 0))
    except ValueError:  # it is just being written
        values = {}
    if not isinstance(values, dict) or not isinstance(values.get("process"), int):
        return "another process"
    if values["process"] == os.getpid() and values.get("host") == socket.gethostname():
        return "this process"
    host = "" if values.get("host") == socket.gethostname() else f" on {quoted(values.get('host'))}"
    since, command = (str(values.get(key, "?"))[:100] for key in ("since", "command"))
    return f"process {values['process']}{host} ({' '.join(command.split())}, since {' '.join(since.split())})"


def _forget_all() -> None:
    for lock in list(_held):
        lock.forget()


if hasattr(os, "register_at_fork"):
    # A lock is held as long as any process has its file open, and a child may outlive this one.
    os.register_at_fork(after_in_child=_forget_all)
