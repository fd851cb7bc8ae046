"""What messages say to write instead has the same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from recurra import Cell, CellError
from recurra.cells.instead import instead

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "square": lambda a, b: torch.square(a),
    "reciprocal": lambda a, b: torch.reciprocal(a),
    "rsqrt": lambda a, b: torch.rsqrt(a),
    "rsub": lambda a, b: torch.rsub(a, b),
    "log1p": lambda a, b: torch.log1p(a),
    "expm1": lambda a, b: torch.special.expm1(a),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
    "sign": lambda a, b: torch.sign(a),
    "sgn": lambda a, b: torch.sgn(a),
    "heaviside": lambda a, b: torch.heaviside(a, 0.0 * a),
    "silu": lambda a, b: functional.silu(a),
    "logsigmoid": lambda a, b: functional.logsigmoid(a),
    "leaky_relu": lambda a, b: functional.leaky_relu(a),
    "elu": lambda a, b: functional.elu(a),
    "celu": lambda a, b: functional.celu(a),
    "relu6": lambda a, b: functional.relu6(a),
    "hardtanh": lambda a, b: functional.hardtanh(a),
    "hardsigmoid": lambda a, b: functional.hardsigmoid(a),
    "softsign": lambda a, b: functional.softsign(a),
    "mish": lambda a, b: functional.mish(a),
    "softplus": lambda a, b: functional.softplus(a, beta=0.3),
}
POSITIVE = ("rsqrt", "log1p")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_has_the_same_values(name):
    """As the function, whose own refusal says it; `a` and `b` are the two states of a cell."""
    expression = instead(name).partition("write ")[2]

    class Refused(Cell):
        state = ("a", "b")

        def step(self, affine, a, b):
            return FUNCTIONS[name](a, b), b

    class Taken(Refused):
        def step(self, affine, a, b):
            names = {"a": a, "b": b, "beta": 0.3, "weight": 0.3, "torch": torch, "functional": functional}
            return eval(expression, names), b  # noqa: S307 - our own

    with pytest.raises(CellError) as caught:
        Refused(3, 40)
    assert f"write {expression}; what can: " in str(caught.value)
    a, b = 3 * torch.randn(6, 40, dtype=torch.float64), torch.randn(6, 40, dtype=torch.float64)
    a = a.abs() if name in POSITIVE else a
    ours, _ = Taken(3, 40)(torch.zeros(6, 3), (a, b))
    torch.testing.assert_close(ours, FUNCTIONS[name](a, b), rtol=1e-12, atol=1e-12)
