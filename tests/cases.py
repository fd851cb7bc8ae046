"""Recurrent layers with nothing symmetric about them, and inputs and states to go with them.

Random weights and biases everywhere, peepholes and norms included, so that a permuted gate, a dropped bias
or exchanged states cannot pass unseen. B batch, T time, I input, H hidden.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from recurra import Cell, Regularisation
from recurra.cells import CELLS
from recurra.contracts import State
from recurra.layers.recurrent import Recurrent

ALL_CELLS = tuple(CELLS)
VENDOR_CELLS = ("elman", "relu_elman", "gru_reset_after", "lstm")


@torch.no_grad()
def randomise(module: nn.Module, scale: float = 0.4) -> None:
    """Every parameter drawn afresh, gains around 1 and everything else around 0.

    Matrices shrink with their width, so that wide layers are no more chaotic than narrow ones.
    """
    for name, parameter in module.named_parameters():
        parameter.normal_(0.0, scale if parameter.ndim < 2 else 2.0 * scale * parameter.shape[1] ** -0.5)
        if name.endswith("_gain"):
            parameter.add_(1.0)


def recurrent(
    cell_name: str, input_size: int, hidden_size: Any, dtype: torch.dtype = torch.float64, **options: Any
) -> Recurrent:
    """A `Recurrent` with random parameters, in evaluation mode."""
    rnn = Recurrent(CELLS[cell_name], input_size, hidden_size, **options).to(dtype)
    randomise(rnn)
    return rnn.eval()


def fitting(regularisation: Regularisation, cell_name: str) -> Regularisation:
    """Without what acts on hidden weights, where the cell has none."""
    if CELLS[cell_name](1, 1).program.products:
        return regularisation
    return replace(regularisation, recurrent_dropout=0.0, weight_drop=0.0)


def random_state(rnn: Recurrent, batch_size: int) -> State:
    """A state in which no two numbers are equal."""
    dtype = next(rnn.parameters()).dtype
    return rnn.zero_state(batch_size).map(lambda tensor: torch.randn(tensor.shape, dtype=dtype) * 0.7)


def leaf(tensor: Tensor) -> Tensor:
    """A copy that collects a gradient of its own."""
    return tensor.detach().clone().requires_grad_()


def difference(first: Tensor, second: Tensor) -> float:
    """The largest difference relative to the largest magnitude, as the design defines equal results."""
    assert first.shape == second.shape, f"{list(first.shape)} and {list(second.shape)}"
    if first.numel() == 0:
        return 0.0
    scale = max(first.abs().max().item(), second.abs().max().item(), 1e-30)
    worst = (first.double() - second.double()).abs().max().item() / scale
    assert worst == worst, "not a number"
    return worst


class Everything(Cell):
    """Every operation of the notation, a computed operand with a mask in it, a norm of a state."""

    gates = ("a", "b", "e", "f", "s")
    state = ("h", "m")
    vectors = ("v",)
    norms = ("n", "k")

    def step(self, affine, h, m):
        a = affine("a", h * m).tanh()
        b = torch.nn.functional.softplus(affine("b")) + 0.1
        e = affine.norm("n", affine("e", -h) / b).relu() + affine.vector("v") * m
        f = (affine.input("f") - affine.hidden("f", a)).sigmoid()
        powers = b**2 + b**f + 2.0**f + b**-1.5 + torch.log(b) + b.sqrt() + (0.3 * a).exp()
        chosen = torch.where(e > a, torch.maximum(e, 0.2 * f), torch.minimum(a, b).abs())
        bounded = (a * 3).clamp(-0.5, 0.7) + (e * 2).clamp(max=0.4) + m.clamp(min=-0.2)
        side = affine.hidden("s", affine.vector("v")) * torch.where(b < 1, 1, -1)
        return (powers * 0.1 + chosen).tanh() + 0.1 * affine.norm("k", h), f * m - bounded / (
            1 + b
        ) + 0.1 * side
