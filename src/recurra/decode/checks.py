"""The checks of arguments and of log-probabilities that the ways of decoding share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.errors import ConfigError, ShapeError


def check_log_probs(log_probs: Tensor) -> None:
    """Refuse log-probabilities (any shape) that are NaN or +inf.

    Raises:
        ShapeError: one of them is.
    """
    # The maximum is NaN where anything is, and is several times cheaper than isnan().any().
    if log_probs.numel() and not float(log_probs.amax()) < math.inf:
        raise ShapeError(
            "log_probs: the model's log-probabilities are not numbers (NaN or +inf); "
            "its weights or its inputs are damaged."
        )


def check_symbols(name: str, symbols: Sequence[int], size: int) -> None:
    """Refuse ids outside 0 .. size - 1.

    Raises:
        ConfigError: one of them is; `name` is the argument they came from.
    """
    for symbol in symbols:
        if not 0 <= symbol < size:
            raise ConfigError(f"{name}: expected ids from 0 to {size - 1}, got {symbol}.")


def check_searchable(stop: int, forbid: Sequence[int], size: int) -> None:
    """Refuse a stop or forbidden symbol that is no symbol, and a forbidden stop symbol.

    Raises:
        ConfigError: one of these.
    """
    check_symbols("stop", (stop,), size)
    check_symbols("forbid", forbid, size)
    if stop in forbid:
        raise ConfigError(f"forbid: {stop} is the stop symbol, without which nothing ends; leave it out.")


def length_limits(max_lengths: Sequence[int] | Tensor, sources: int, min_length: int) -> Tensor:
    """The maximum length of each source's output as `[S]` (int64), checked.

    Args:
        max_lengths: `[S]`, whole numbers, the stop symbol included.
        sources: S.
        min_length: of every output; at least 1, which `BeamConfig` checks.

    Raises:
        ShapeError: there is not one whole number per source.
        ConfigError: a source's maximum is below `min_length`.
    """
    limits = max_lengths if isinstance(max_lengths, Tensor) else torch.tensor(max_lengths, device="cpu")
    if limits.shape != (sources,) or (sources and (limits.is_floating_point() or limits.dtype == torch.bool)):
        raise ShapeError(
            f"max_lengths: expected a whole number for each of the {sources} sources, "
            f"got {str(limits.dtype).removeprefix('torch.')} {list(limits.shape)}."
        )
    if sources and int(limits.min()) < min_length:
        source = int(limits.argmin())
        raise ConfigError(
            f"max_lengths: expected at least the minimum length {min_length}, "
            f"got {int(limits[source])} for source {source}; raise it, or lower min_length."
        )
    return limits.to("cpu", torch.int64)
