"""Functions of two values at whose ties, bounds and corners a derivative is a matter of choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

POINTS = torch.tensor([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0, 20.0, 21.0], dtype=torch.float64)
KINKS: dict[str, Callable[[Any, Any], Any]] = {
    "relu": lambda a, b: a.relu(),
    "abs": lambda a, b: a.abs(),
    "sqrt": lambda a, b: a.sqrt(),
    "log": lambda a, b: a.log(),
    "softplus": lambda a, b: torch.nn.functional.softplus(a),
    "maximum": lambda a, b: torch.maximum(a, b),
    "minimum": lambda a, b: torch.minimum(a, b),
    "maximum with a number": lambda a, b: torch.clamp(a, min=0.5) + a.maximum(b * 0),
    "clamp": lambda a, b: a.clamp(-1, 1),
    "clamp from above": lambda a, b: a.clamp(max=2),
    "where": lambda a, b: torch.where(a >= b, a * b, a),
    "where equal": lambda a, b: torch.where(a == b, a * b, torch.where(a != 0, b, a)),
    "square": lambda a, b: a**2,
    "cube": lambda a, b: a**3,
    "to the 0": lambda a, b: a**0 * b,
    "to the 1": lambda a, b: a**1,
    "power of a state": lambda a, b: a.abs() ** b.abs(),
    "power of two": lambda a, b: 2**a,
    "power of zero": lambda a, b: 0 ** a.abs(),
    "a over itself": lambda a, b: (1 + a.abs()) / (1 + a.abs()),
    "division": lambda a, b: a / b,
    "twice the same": lambda a, b: a * a - (a - a * b),
}
# Whose values or derivatives are infinite, or no numbers, at some of the points.
SINGULAR = ("sqrt", "log", "power of a state", "power of zero", "division")
# What can be added up without one hiding another.
GROUPS = ([name for name in KINKS if name not in SINGULAR], *([name] for name in SINGULAR))


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    """Every pair of points, as two rows of values."""
    a, b = torch.meshgrid(POINTS, POINTS, indexing="ij")
    return a.flatten(), b.flatten()
