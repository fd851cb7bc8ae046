"""Checks of configuration values, each with the one line that says what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from recurra.errors import ConfigError, nearest


def check_name(key: str, value: object, names: Iterable[str]) -> None:
    """Refuse a value that is not one of `names`.

    Raises:
        ConfigError: naming the key, the choices and the nearest one.
    """
    names = list(names)
    if value not in names:
        raise ConfigError(
            f"{key}: expected one of {', '.join(names)}, got {value!r}.{nearest(str(value), names)}"
        )


def check_number(
    key: str, value: object, expected: str, good: Callable[[Any], bool], whole: bool = False
) -> None:
    """Refuse a value that is not a finite number (a whole one if asked), or not a `good` one.

    Raises:
        ConfigError: naming the key, what was expected and what came.
    """
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value) or not good(value):
        raise ConfigError(f"{key}: expected {expected}, got {value!r}.")
