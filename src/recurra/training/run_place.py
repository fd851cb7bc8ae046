"""Where a run may be made, and putting it there at one instant.

A new run is built in a temporary folder beside its place, `.NAME.part`, and renamed. A run that is overwritten is
exchanged with the new one where the system can do that, so that a whole run is at NAME at every instant; elsewhere it
is called `.NAME.old` for the moment between two renames. A kill in that moment leaves no NAME, and the next command
that looks for it puts the old run back. An empty folder that is there already is filled, not replaced: it may be a
mount point, or the folder somebody stands in. `config.yaml` then comes last, since it makes a folder a run.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from recurra.durable import flush_folder, load_json, read_plain, temporary_name, whole_path, write_atomic
from recurra.errors import RunError, shortened
from recurra.training.run_lock import RunLock

CONFIG, RESUME = "config.yaml", "resume"
INNER = ".run.part"
"""The temporary folder inside an empty folder that is filled."""
NAMES = "names.json"
"""A file in it: what is moved out of it, so that nothing else is removed after an interruption."""
RENAME_EXCHANGE, AT_FDCWD = 2, -100
CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def check_there(path: str | Path) -> None:
    """Refuse a path at which there is no folder, having put back what an interrupted overwriting left.

    Raises:
        RunError: the path holds nothing, or a file.
    """
    path = Path(path)
    try:
        restore(path)
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(f"{shortened(str(path))}: cannot be opened ({reason}).") from error
    if not is_folder:
        what = "is a file, not a run directory" if is_there else "no such run directory"
        shown = shortened(str(path))
        raise RunError(f"{shown}: {what}; `recurra train ... --out {shown}` makes one.")


def check_free(path: str | Path, overwrite: bool = False) -> None:
    """Refuse a path at which a new run may not be made, before any work is done.

    Raises:
        RunError: the path holds a run (and `overwrite` is false, or somebody writes into it), or something that is
            not a run.
    """
    path = Path(path)
    try:
        with suppress(FileNotFoundError):
            path.stat()  # `exists` passes over what is no name
        _check_free(path, overwrite)
    except (OSError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(
            f"{shortened(str(path))}: no run can be made there ({reason}); choose another folder."
        ) from error


def _check_free(path: Path, overwrite: bool) -> None:
    restore(path)
    if not path.exists():
        if path.is_symlink():
            raise RunError(f"{path}: a link to nothing; choose another folder for the run.")
        return
    if not path.is_dir():
        raise RunError(f"{path}: a file is there; choose another folder for the run.")
    if _is_fillable(path):
        return
    if not (path / CONFIG).is_file() or not (path / RESUME).is_dir():
        raise RunError(f"{path}: holds files that are not a run of recurra; choose another folder.")
    if not overwrite:
        raise RunError(
            f"{path}: holds a run already; `recurra resume {path}` continues it, another folder or "
            "overwriting (--overwrite) starts anew."
        )
    here = Path.cwd()
    if here.is_relative_to(whole_path(path)):
        raise RunError(
            f"{path}: is the current folder, which cannot be replaced; call recurra from elsewhere."
        )
    RunLock(path).release()


def restore(path: Path) -> None:
    """Put a run back that an interrupted overwriting left as `.NAME.old`, where nothing is at NAME.

    What lies there beside a NAME is left alone: somebody may want it.
    """
    old = _old_name(path)
    if os.path.lexists(path) or not (old / CONFIG).is_file():
        return
    with RunLock(old):  # who is overwriting it just now holds that
        old.rename(path)
        flush_folder(path.parent)
    print(
        f"recurra: note: put {path} back, which an interrupted overwriting had left as {old.name}.",
        file=sys.stderr,
    )


def working_folder(path: Path) -> Path:
    """The temporary folder in which the run at a path is built, made anew.

    Raises:
        RunError: another process builds a run there.
        OSError: it cannot be made.
    """
    if path.is_dir() and _is_fillable(path):
        for name in _half_filled(path):
            _remove(path / name)
        folder = path / INNER
    else:
        folder = temporary_name(path)
    _clear(folder)
    folder.mkdir(parents=True)
    return folder


def clear_leftover(path: Path) -> None:
    """Remove what a kill left under the temporary name of a run: half of a new one, or one that was overwritten.

    Raises:
        RunError: another process builds a run there, or it cannot be removed.
    """
    try:
        _clear(temporary_name(whole_path(path)))
    except OSError as error:
        raise RunError(
            f"{error.filename}: left by a kill, and cannot be removed ({error.strerror})."
        ) from error


def _clear(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        with RunLock(folder):
            shutil.rmtree(folder)


def put_in_place(folder: Path, path: Path) -> None:
    """Make a built run the one at a path; the run that was there is removed when the new one has its place.

    Raises:
        OSError: the system refuses; what was there is then there still.
        RunError: somebody writes into the run that is there, or an earlier overwriting left one.
    """
    if folder.parent == path:
        _fill(folder, path)
    elif not path.exists():
        folder.rename(path)
    else:
        with RunLock(path):
            _overwrite(folder, path)
    flush_folder(path.parent)


def _fill(folder: Path, path: Path) -> None:
    names = sorted(entry.name for entry in folder.iterdir() if entry.name != CONFIG)
    write_atomic(folder / NAMES, json.dumps(names).encode())
    for name in names:
        (folder / name).rename(path / name)
    flush_folder(path)
    (folder / CONFIG).rename(path / CONFIG)
    flush_folder(path)
    shutil.rmtree(folder)


def _overwrite(folder: Path, path: Path) -> None:
    if _exchange(folder, path):
        flush_folder(path.parent)
        shutil.rmtree(folder)
        return
    old = _old_name(path)
    if os.path.lexists(old):
        raise RunError(f"{old}: left by an earlier overwriting; look into it, and move it away or remove it.")
    path.rename(old)
    try:
        folder.rename(path)
    except BaseException:
        old.rename(path)
        raise
    flush_folder(path.parent)
    shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange what two names stand for at one instant; whether the system can.

    Raises:
        OSError: it can, and refuses.
    """
    renameat2 = (
        getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    )
    if renameat2 is None:
        return False
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _is_fillable(path: Path) -> bool:
    """Whether a folder is empty, but for what an interrupted filling left."""
    return {entry.name for entry in path.iterdir()} <= {INNER, *_half_filled(path)}


def _half_filled(path: Path) -> list[str]:
    """What a filling that was interrupted has moved already; nothing where none was."""
    try:
        names = load_json(read_plain(path / INNER / NAMES, at_most=1 << 16))
    except (OSError, ValueError):
        return []
    # Only what is directly in the folder: not "..", nor another path.
    return [entry.name for entry in path.iterdir() if isinstance(names, list) and entry.name in names]


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def _old_name(path: Path) -> Path:
    path = path.absolute()
    return path.with_name(f".{path.name}.old")
