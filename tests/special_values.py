"""Pointwise functions where they are special: at ties, bounds, zeros of both signs, infinities and NaN.

PyTorch's own operators and their autograd say what the values and the derivatives are there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recurra import Cell, Recurrent
from recurra.contracts import State

INF, NAN = math.inf, math.nan
POINTS = (-INF, -1000.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 20.0, 1000.0, INF, NAN)
ROWS = 16
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "-a": lambda a, b: -a,
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "1 / a": lambda a, b: 1.0 / a,
    "0 / a": lambda a, b: 0.0 / a,
    "inf / a": lambda a, b: INF / a,
    "a / 0": lambda a, b: a / 0.0,
    "a / -0": lambda a, b: a / -0.0,
    "a * inf": lambda a, b: a * INF,
    "a - nan": lambda a, b: a - NAN,
    "a over itself": lambda a, b: (1 + a.abs()) / (1 + a.abs()),
    "twice the same": lambda a, b: a * a - (a - a * b),
    "sigmoid": lambda a, b: a.sigmoid(),
    "tanh": lambda a, b: a.tanh(),
    "1 / tanh": lambda a, b: 1.0 / a.tanh(),
    "relu": lambda a, b: a.relu(),
    "1 / relu": lambda a, b: 1.0 / a.relu(),
    "exp": lambda a, b: a.exp(),
    "log": lambda a, b: a.log(),
    "log of sigmoid": lambda a, b: a.sigmoid().log(),
    "softplus": lambda a, b: functional.softplus(a),
    "abs": lambda a, b: a.abs(),
    "1 / abs": lambda a, b: 1.0 / a.abs(),
    "sqrt": lambda a, b: a.sqrt(),
    "maximum": lambda a, b: torch.maximum(a, b),
    "minimum": lambda a, b: torch.minimum(a, b),
    "maximum of itself": lambda a, b: torch.maximum(a, a * 1.0),
    "maximum with 0": lambda a, b: torch.clamp(a, min=0.5) + a.maximum(b * 0),
    "clamp": lambda a, b: a.clamp(-1, 2),
    "clamp from below": lambda a, b: a.clamp(min=0.5),
    "clamp from above": lambda a, b: a.clamp(max=2),
    "clamp to infinity": lambda a, b: a.clamp(max=INF),
    "clamp to both infinities": lambda a, b: a.clamp(-INF, INF),
    "clamp with crossed bounds": lambda a, b: a.clamp(2, -1),
    "clamp with NaN": lambda a, b: a.clamp(NAN, 1),
    "where >=": lambda a, b: torch.where(a >= b, a * b, a),
    "where ==": lambda a, b: torch.where(a == b, a * b, torch.where(a != 0, b, a)),
    "where !=": lambda a, b: torch.where(a != b, a, 0.5),
    "where <": lambda a, b: torch.where(a < b, a, b),
    "where <=": lambda a, b: torch.where(a <= 1, b, a),
    "where to -inf": lambda a, b: torch.where(a > 0, a, -INF),
    "where to nan": lambda a, b: torch.where(a > 0, NAN, a),
    "where of numbers": lambda a, b: b * torch.where(a > b, 1.0, -0.0),
    **{f"a ** {power}": lambda a, b, power=power: a**power for power in (0, 1, 2, 3, 4, -1, -2, -3)},
    **{f"a ** {power}": lambda a, b, power=power: a**power for power in (0.5, -0.5, 1.5, 1.7, -1.7, INF, -INF, NAN)},
    **{f"{base} ** a": lambda a, b, base=base: base**a for base in (2.0, 0.5, 1.0, 0.0, -0.0, -1.0, -2.0, INF, NAN)},
    "a ** b": lambda a, b: a**b,
    "abs(a) ** b": lambda a, b: a.abs() ** b,
    "a ** 0 * b": lambda a, b: a**0 * b,
}  # fmt: skip
# Of two zeros PyTorch gives the one or the other, by how it has divided the work.
EITHER_ZERO = ("maximum", "minimum")
TOLERANCE = {torch.float32: (1e-5, 1e-6), torch.float64: (1e-12, 1e-15)}  # relative, absolute

Results = dict[str, tuple[Tensor, Tensor, Tensor]]  # by function: its value, and the gradients of a and b


def points(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Every pair of points, each with four gradients that arrive: a random one, infinity, NaN and zero; `[ROWS, H]`."""
    every = torch.tensor(POINTS, dtype=dtype)
    number = len(POINTS) ** 2
    drawn = torch.randn(number, generator=torch.Generator().manual_seed(1), dtype=dtype)
    arriving = torch.stack([drawn, torch.full_like(drawn, INF), torch.full_like(drawn, NAN), drawn * 0])
    a, b = (values.flatten().expand(4, -1) for values in torch.meshgrid(every, every, indexing="ij"))
    a, b, arriving = (values.reshape(ROWS, -1).contiguous() for values in (a, b, arriving))
    return a, b, arriving


def expected(dtype: torch.dtype) -> Results:
    """What PyTorch gives."""
    results = {}
    for name, function in FUNCTIONS.items():
        a, b, arriving = points(dtype)
        a, b = a.requires_grad_(), b.requires_grad_()
        value = function(a, b)
        gradients = torch.autograd.grad(value, [a, b], arriving, allow_unused=True, materialize_grads=True)
        results[name] = (value.detach(), *gradients)
    return results


class Special(Cell):
    """Each function of two states of its own, so that none spoils another's gradients."""

    gates = ("g",)
    state = ("h", *(f"{letter}{i}" for letter in "ab" for i in range(len(FUNCTIONS))))

    def step(self, affine, h, *states):
        firsts, seconds = states[: len(FUNCTIONS)], states[len(FUNCTIONS) :]
        new = [function(a, b) for function, a, b in zip(FUNCTIONS.values(), firsts, seconds, strict=True)]
        return affine("g"), *new, *seconds


def on(backend: str, dtype: torch.dtype) -> Results:
    """What one step on a backend gives."""
    a, b, arriving = points(dtype)
    number = len(FUNCTIONS)
    rnn = Recurrent(Special, 1, a.shape[1], backend=backend).to(dtype)
    start = [value.clone().requires_grad_() for value in (a, *[a] * number, *[b] * number)]
    names = [key for key, _ in rnn.zero_state(len(a)).tensors()]
    state = State.from_dict(dict(zip(names, start, strict=True)))
    _, final = rnn(torch.zeros(len(a), 1, 1, dtype=dtype), state)
    values = [value for _, value in final.tensors()][1 : 1 + number]
    gradients = torch.autograd.grad(
        values, start[1:], [arriving] * number, allow_unused=True, materialize_grads=True
    )
    columns = (values, gradients[:number], gradients[number:])
    return {name: (value.detach(), *rest) for name, value, *rest in zip(FUNCTIONS, *columns, strict=True)}


def wrong(found: Results, wanted: Results) -> list[str]:
    """Where results differ from what they should be: NaN, infinities, values, and the signs of zeros in values."""
    lines = []
    for name, results in wanted.items():
        for what, ours, theirs in zip(("value", "d_a", "d_b"), found[name], results, strict=True):
            relative, absolute = TOLERANCE[theirs.dtype]
            same = torch.isclose(ours, theirs, rtol=relative, atol=absolute, equal_nan=True)
            if what == "value" and not name.startswith(EITHER_ZERO):
                same &= (theirs != 0) | (ours.signbit() == theirs.signbit())
            columns = torch.stack([*points(theirs.dtype), theirs, ours])[:, ~same]  # [5, wrong ones]
            lines += [
                f"{name}: {what} at a = {a:g}, b = {b:g}, gradient {d:g}: expected {theirs:g}, got {ours:g}"
                for a, b, d, theirs, ours in columns.T.tolist()[:5]
            ]
    return lines
