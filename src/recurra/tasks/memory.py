"""Whether a model can be trained in this machine's memory, worked out before any of it is asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from recurra.cells.drawing import not_drawing
from recurra.durable import machine_memory
from recurra.errors import BackendError, ConfigError, gigabytes

PER_WEIGHT = {"adam": 4, "adamw": 4, "sgd": 3}
"""What each optimiser keeps besides a weight, the weight and its gradient included, in weights."""


def check_memory(build: Callable[[], nn.Module], optimiser: str, device: torch.device) -> None:
    """Refuse a model whose weights, gradients and optimiser together do not fit into memory.

    Args:
        build: makes the model.
        optimiser: the name of one.
        device: where it is trained.

    Raises:
        ConfigError: naming what it needs and what there is.
    """
    try:
        # On this device tensors have shapes, and take no memory.
        with not_drawing(), torch.device("meta"):
            model = build()
    except (
        BackendError
    ):  # a named one that is for another device: what it needs is seen when it is built there
        return
    except (OverflowError, RuntimeError, TypeError) as error:
        if not any(word in str(error) for word in ("overflow", "too large", "int64", "SymInt", "too big")):
            raise
        raise ConfigError(
            "model: these sizes are beyond what any machine addresses; make model.hidden_size, model.embedding_size or "
            "the vocabulary smaller."
        ) from error
    weights = sum(parameter.numel() for parameter in model.parameters())
    size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    needed, there = size * PER_WEIGHT.get(optimiser, 4), memory_of(device)
    if there is not None and needed > there:
        raise ConfigError(
            f"model: {weights:,} weights take {gigabytes(needed)} with their gradients and the optimiser's averages, "
            f"and this machine has {gigabytes(there)}; make model.hidden_size, model.embedding_size or the vocabulary "
            "smaller."
        )


def memory_of(device: torch.device) -> int | None:
    """The memory of a device in bytes, all of it; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return machine_memory()
