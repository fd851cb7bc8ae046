"""Where compiled kernels are kept, and how they are loaded: whole, unchanged, and only if nobody else could write them.

`KEY.so` lies beside `KEY.sha256`, its digest and size. Loading runs what the file holds, so these come before it:

1. `folder` walks from the root to `recurra/kernels`. Every folder on the way must belong to the user or to root and be
   writable by nobody else, so that no other user can put anything in the place of what is checked next.
2. `load` reads the library and compares it with its digest. What is cut off, zeroed, changed or without a digest is
   not loaded; the caller compiles it again.
3. `store` flushes both files and renames them. A file that has a name is never written to, so a process that has
   loaded it keeps what it has.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from recurra.durable import flush_folder, write_flushed
from recurra.errors import BackendError, quoted

ELSEWHERE = "set $XDG_CACHE_HOME to a folder of yours"
MOST_BYTES = 2**26  # of a library; they have some 50,000
MOST_LINKS = 40  # on the way to the folder, as in Linux
UNFINISHED = ".build-"  # how the folders begin in which compilers write
KEPT_SECONDS = 24 * 3600  # what a killed process has left unfinished


class CacheError(BackendError):
    """The cache of compiled kernels cannot be used, or not safely."""


def _refusal(path: Path, reason: str, remedy: str) -> CacheError:
    return CacheError(
        f"backend 'cpu': the kernel cache cannot be used: {quoted(str(path))} {reason}; {remedy}"
    )


def _failure(path: Path, error: OSError) -> CacheError:
    return _refusal(path, f"fails: {error.strerror or type(error).__name__}", f"fix it, or {ELSEWHERE}")


# --- the folder ---------------------------------------------------------------------------------------


def folder() -> Path:
    """The folder of compiled kernels, links on the way to it resolved; made, for the user alone, where it is missing.

    It is `recurra/kernels` below `$XDG_CACHE_HOME`, where that is absolute, or else below `.cache` at home.

    Raises:
        CacheError: it cannot be made, or somebody else can write to it or put another in its place.
    """
    base, root = Path(os.environ.get("XDG_CACHE_HOME", "")), Path("/")
    if base.is_absolute():  # the specification wants relative ones ignored
        base = _walk(root, base, make=True)
    else:
        base = _walk(_walk(root, _home(), make=False), Path(".cache"), make=True)
    return _walk(base, Path("recurra", "kernels"), make=True, ours=True)


def _home() -> Path:
    """The user's home, from $HOME or the list of users."""
    import pwd  # which Windows does not have

    home = Path(os.environ.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        raise CacheError(
            f"backend 'cpu': there is no home folder to keep compiled kernels in; {ELSEWHERE}"
        ) from None


def _walk(at: Path, path: Path, make: bool, ours: bool = False) -> Path:
    """Follow `path` from the checked folder `at`, and check every folder and link on the way; the real path.

    Args:
        at: where to begin: a real path.
        path: what to follow.
        make: make folders that are missing.
        ours: these are folders that recurra has made, so none is a link.
    """
    followed, parts = 0, list(reversed(path.parts))
    while parts:
        part = parts.pop()
        if part == "..":
            at = at.parent
            continue
        entry = at / part  # which is "/" where that is the part
        try:
            status = _status(entry, make)
            target = entry.readlink() if stat.S_ISLNK(status.st_mode) else None
        except OSError as error:
            raise _failure(entry, error) from error
        if status.st_uid not in (_owners() if ours else _parents_owners()):
            raise _refusal(entry, f"belongs to another user (number {status.st_uid})", ELSEWHERE)
        if target is None:
            _check_folder(entry, status)
            at = entry
            continue
        followed += 1
        if ours or followed > MOST_LINKS:
            raise _refusal(entry, "is a link", f"put a folder in its place, or {ELSEWHERE}")
        parts += reversed(target.parts)
    return at


def _status(path: Path, make: bool) -> os.stat_result:
    """Of what lies at `path` itself, after making a folder there where that is wanted and nothing does."""
    try:
        return path.lstat()
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # made by another process since
        path.mkdir(mode=0o700)
    return path.lstat()


def _check_folder(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISDIR(status.st_mode):
        raise _refusal(path, "is no folder", f"put one in its place, or {ELSEWHERE}")
    # In a folder like /tmp others may add entries, but not rename or delete ours, and those are checked next.
    if _others_write(status) and not status.st_mode & stat.S_ISVTX:
        raise _refusal(
            path, "is writable by other users", f"take that right away (chmod go-w), or {ELSEWHERE}"
        )


def _others_write(status: os.stat_result) -> bool:
    """Whether others than the owner may write; the user's own group, in which nobody else is, is no other."""
    group = status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid)
    return bool(status.st_mode & stat.S_IWOTH or group)


@cache
def _is_private(group: int) -> bool:
    import grp
    import pwd

    try:
        user, known = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and known.gr_name == user.pw_name and set(known.gr_mem) <= {user.pw_name}


@cache
def _owners() -> frozenset[int]:
    return frozenset({os.geteuid(), 0})


@cache
def _parents_owners() -> frozenset[int]:
    """The users that folders on the way may belong to: this one and root.

    In the user namespace of a container that does not know the system's root, root's folders show an id that stands
    for everyone unknown. It counts as root's: the alternative is no compiled kernels in such containers.
    """
    try:
        known = [line.split()[1] for line in Path("/proc/self/uid_map").read_text("ascii").splitlines()]
        unknown = int(Path("/proc/sys/kernel/overflowuid").read_text("ascii"))
    except FileNotFoundError:  # not on Linux
        return _owners()
    return _owners() if "0" in known else _owners() | {unknown}


# --- libraries ----------------------------------------------------------------------------------------


def load(folder: Path, key: str, functions: tuple[str, ...]) -> ctypes.CDLL | None:
    """The library that is kept as `key`; None where there is none that is whole and has the functions.

    The path is loaded that was read: between the two, nobody but the user and root can change what it names.

    Raises:
        CacheError: what is there can be written by somebody else, or is a link, or cannot be read.
    """
    path = folder / f"{key}.so"
    content, digest = _read(path), _read(folder / f"{key}.sha256")
    if content is None or digest is None or digest != _digest(content):
        return None
    try:
        return opened(path, functions)
    except OSError:  # made for another C library, say, on a home that several systems share: compiled again
        return None


def opened(path: Path, functions: tuple[str, ...]) -> ctypes.CDLL:
    """The library at `path`, which runs what it holds.

    Raises:
        OSError: it is none for this system, or lacks one of the functions.
    """
    library = ctypes.CDLL(str(path))
    missing = [name for name in functions if not hasattr(library, name)]
    if missing:
        raise OSError(f"it has no function {missing[0]}")
    return library


def _digest(content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()} {len(content)}\n".encode()


def _read(path: Path) -> bytes | None:
    """The bytes of a regular file that is the user's or root's and that nobody else can write; None without one."""
    flags = os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would let us wait for somebody who writes
    try:
        with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
            _check_file(path, os.fstat(file.fileno()))
            return file.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise _refusal(path, "is a link", "delete it") from error
        raise _failure(path, error) from error


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(path, "is no regular file", "delete it")
    if status.st_uid not in _owners():
        raise _refusal(path, f"belongs to another user (number {status.st_uid})", "delete it")
    if _others_write(status):
        raise _refusal(path, "is writable by other users", "delete it")


@contextmanager
def build_folder(folder: Path) -> Iterator[Path]:
    """A folder for the compiler to write in, beside what is kept; deleted afterwards.

    Raises:
        CacheError: the disk is full, or cannot be written.
    """
    try:
        _sweep(folder)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=folder) as name:
            yield Path(name)
    except OSError as error:
        raise _failure(folder, error) from error


def _sweep(folder: Path) -> None:
    """Delete the build folders of processes that were killed."""
    for left in folder.glob(f"{UNFINISHED}*"):
        try:
            if time.time() - left.lstat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(left)
        except FileNotFoundError:  # another process deletes it
            continue


def store(folder: Path, key: str, made: Path) -> None:
    """Keep the library `made`, in a build folder, as `key`, and its digest beside it.

    A process that reads between the two renames finds a library without its digest, and compiles.

    Raises:
        OSError: the disk is full, or refuses.
    """
    with made.open("rb") as file:
        os.fchmod(file.fileno(), 0o600)
        content = file.read()
        os.fsync(file.fileno())
    digest = made.with_suffix(".sha256")
    write_flushed(digest, _digest(content))
    made.replace(folder / f"{key}.so")
    digest.replace(folder / f"{key}.sha256")
    flush_folder(folder)
