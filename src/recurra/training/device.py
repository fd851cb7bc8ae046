"""Where a model runs."""

from __future__ import annotations

import torch

from recurra.errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """The device that `training.device` names; `auto` is CUDA where there is one.

    Raises:
        ConfigError: cuda is named and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("training.device: PyTorch finds no CUDA device; use cpu.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)
