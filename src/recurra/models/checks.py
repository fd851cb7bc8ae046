"""Checks of the keys `model.*` that several models have."""

from __future__ import annotations

import math
from collections.abc import Mapping

from recurra.errors import ConfigError


def check_whole(key: str, value: object) -> None:
    """Raise unless the value of a key is a whole number of at least 1.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key}: expected a whole number of at least 1, got {value!r}.")


def check_initial_bias(biases: Mapping[str, float] | None) -> None:
    """Raise unless `model.initial_bias` gives a finite number for each gate that it names.

    Raises:
        ConfigError: it does not.
    """
    for gate, value in (biases or {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"model.initial_bias: expected a number for {gate!r}, got {value!r}.")
