"""A run's files: what is written to them, as bytes, and reading them with care."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from recurra.errors import RunError

FORMAT = {"format": "pt", "made_by": "recurra"}


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """The tensors as one safetensors file."""
    from safetensors.torch import save

    return save({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, metadata=FORMAT)


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """The values as JSON; numbers keep every bit, and what is not a JSON number is refused."""
    return (json.dumps(values, allow_nan=False, indent=1) + "\n").encode()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, each in memory of its own.

    Raises:
        RunError: the file is missing, damaged or foreign.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        # A copy is aligned as torch aligns its own tensors: matrix products may round by alignment.
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; the run directory is incomplete.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path}: not a whole safetensors file ({_first_line(error)}); put the original file back."
        ) from error


def check_tensors(path: Path) -> None:
    """Look at a safetensors file's header only.

    Raises:
        RunError: the file is missing, damaged or foreign.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"):
            pass
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; the run directory is incomplete.") from error
    except (SafetensorError, OSError) as error:
        raise RunError(
            f"{path}: not a whole safetensors file ({_first_line(error)}); put the original file back."
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        RunError: the file is missing, damaged, or holds something else.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; the run directory is incomplete.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: not JSON ({_first_line(error)}); put the original file back.") from error
    if not isinstance(values, dict):
        raise RunError(f"{path}: expected a JSON object, got {type(values).__name__}; put the original back.")
    return values


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, plain values only.

    Raises:
        RunError: the file is missing, damaged, or holds something else.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{path}: missing; {path.parent} is not a run directory of recurra.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise RunError(
            f"{path}{line}: not YAML ({_first_line(error)}); put the original file back."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: not YAML ({_first_line(error)}); put the original file back.") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise RunError(f"{path}: expected a mapping of configuration keys; the file is damaged or foreign.")
    return values


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
