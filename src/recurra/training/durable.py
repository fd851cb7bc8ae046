"""A run's files: what is written to them, as bytes, and reading them with care."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.durable import check_readable, load_json, read_plain
from recurra.errors import ConfigError, RunError, quoted, shortened
from recurra.plain_yaml import read_plain_yaml

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = {"format": "pt", "made_by": "recurra"}
LARGEST_TEXT = 1 << 24
"""Of a JSON or YAML file of a run, in bytes."""


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """The tensors as one safetensors file."""
    from safetensors.torch import save

    return save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, metadata=FORMAT)


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """The values as JSON; numbers keep every bit, and what is not a JSON number is refused."""
    return (json.dumps(values, allow_nan=False, indent=1) + "\n").encode()


def plain_values(value: Any) -> Any:
    """Tuples become lists and paths strings, as YAML has neither."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, each in memory of its own.

    Raises:
        RunError: the file is missing, damaged or foreign.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load, load_file

    try:
        check_readable(path)
        tensors = load_file(path) if _is_utf8(path) else load(read_plain(path))
        # A copy is aligned as torch aligns its own tensors: matrix products may round by alignment.
        return {name: tensor.clone() for name, tensor in tensors.items()}
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; the run directory is incomplete.") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RunError(
            f"{path}: not a whole safetensors file ({first_line(error)}); put the original file back."
        ) from error


def check_tensors(path: Path) -> None:
    """Look at a safetensors file's header only.

    Raises:
        RunError: the file is missing, damaged or foreign.
    """
    from safetensors import SafetensorError, safe_open

    if not _is_utf8(path):
        read_tensors(path)
        return
    try:
        check_readable(path)
        with safe_open(path, framework="pt"):
            pass
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; the run directory is incomplete.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(
            f"{path}: not a whole safetensors file ({first_line(error)}); put the original file back."
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, whose numbers are finite.

    Raises:
        RunError: the file is missing, damaged, or holds something else.
    """
    try:
        values = load_json(read_plain(path, LARGEST_TEXT))
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; the run directory is incomplete.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: not JSON ({first_line(error)}); put the original file back.") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a JSON object, got {type(values).__name__}; put the original back.")
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, plain values only.

    Raises:
        RunError: the file is missing, damaged, or holds something else.
    """
    try:
        values = read_plain_yaml(read_plain(path, LARGEST_TEXT).decode(), str(path))
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; {path.parent} is not a run directory of recurra.") from error
    except ConfigError as error:
        raise RunError(f"{error} Put the original file back.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: not YAML ({first_line(error)}); put the original file back.") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a mapping of configuration keys; the file is damaged or foreign.")
    return values


def check_plain(path: Path) -> None:
    """Refuse a run in which there is anything but plain files and folders; the run's folder itself may be a link.

    A link in a run that somebody else has made would lead reading and writing out of it.

    Raises:
        RunError: naming what it is.
    """
    folders = [path]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
                    elif not entry.is_file(follow_symlinks=False):
                        what = "a link" if entry.is_symlink() else "neither a file nor a folder"
                        raise RunError(
                            f"{entry.path}: is {what}; nothing in a run is. Remove it, or put in its place what "
                            "it stands for."
                        )
        except OSError as error:
            raise RunError(f"{error.filename or path}: cannot be read ({error.strerror}).") from error


def _is_utf8(path: Path) -> bool:
    """Whether safetensors can open it by its name."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def check_names(values: Mapping[str, Any], tensors: Mapping[str, Tensor], source: object) -> None:
    """Compare the tensors' names with those recorded when they were saved; older versions recorded none.

    Raises:
        RunError: one is missing or foreign.
    """
    saved = values.get("tensors")
    if saved is None:
        return
    if not isinstance(saved, list) or not all(isinstance(name, str) for name in saved):
        raise RunError(
            f"{source}: values.json: expected the names of the tensors, got {quoted(saved)}; damaged."
        )
    for name in sorted({*saved, *tensors}):
        if name not in tensors:
            raise RunError(
                f"{source}: has no tensor {quoted(name)}, which was saved with it; damaged or foreign."
            )
        if name not in saved:
            raise RunError(
                f"{source}: holds a tensor {quoted(name)} that was not saved with it; damaged or foreign."
            )


def first_line(error: BaseException) -> str:
    """What an error says, on one line that is not long."""
    text = str(getattr(error, "strerror", None) or error)
    return shortened((text.splitlines() or [type(error).__name__])[0])
