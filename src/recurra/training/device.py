"""Where a model runs."""

from __future__ import annotations

import torch

from recurra.errors import ConfigError, quoted


def resolve_device(name: str) -> torch.device:
    """The device that `training.device` names; `auto` is CUDA where there is one.

    Raises:
        ConfigError: it is the name of none, or cuda is named and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device: PyTorch finds no CUDA device; use cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"device: expected auto, cpu or cuda, got {quoted(name)}.") from error
