"""A cell of every operation, layers with random weights, and Jacobians by torch.autograd.functional."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from recurra.cells import Cell
from recurra.layers.recurrent import Recurrent


class EveryOperation(Cell):
    """Everything that can be traced and has a derivative, in one cell; `old` merely hands h on."""

    gates = ("first", "second", "third")
    state = ("h", "c", "old")
    vectors = ("scale",)
    norms = ("inside",)

    def step(self, affine, h, c, old):
        first = affine("first", h).sigmoid()
        second = affine.norm("inside", affine.input("second") + affine.hidden("second", first * c - old / 3))
        third = torch.nn.functional.softplus(affine("third")) + 0.5
        power = (third + c.abs()) ** 1.5 / (1 + second.exp()) + (h * h + 1).sqrt().log()
        picked = torch.where(h > c, torch.maximum(second, h), torch.minimum(-second, 0.3 - c))
        kept = torch.clamp(affine.vector("scale") * power, -0.4, 0.9) + torch.relu(c - 0.1)
        return (picked + kept).tanh(), first * c + (1 - first) * second.tanh(), h


def randomised(rnn: Recurrent) -> Recurrent:
    """The layers in float64, every parameter random, large enough for saturation to show."""
    rnn = rnn.double()
    for parameter in rnn.parameters():
        nn.init.normal_(parameter, std=0.8)
    return rnn.eval()


def norms_by_jacobian(cell: Cell, x: Tensor, states: tuple[Tensor, ...]) -> np.ndarray:
    """‖∂h_t/∂s_k‖ / √H, mean over rows, `[T, lag]`, from the steps as they are composed."""
    after = [states]
    for x_t in x.unbind(1):
        new = cell(x_t, after[-1])
        after.append((new,) if isinstance(new, Tensor) else new)
    rows, steps = x.shape[:2]
    expected = np.full((steps, steps), np.nan)
    for t in range(steps):
        for k in range(t + 1):

            def output(*state: Tensor, t: int = t, k: int = k) -> Tensor:
                for position in range(k + 1, t + 1):
                    state = cell(x[:, position], state)
                    state = (state,) if isinstance(state, Tensor) else state
                return state[0]

            parts = jacobian(output, tuple(value.detach() for value in after[k + 1]))
            squares = torch.zeros(rows, dtype=x.dtype)
            for part in parts:  # [B, H, B, H]
                squares += torch.stack([part[row, :, row].square().sum() for row in range(rows)])
            expected[t, t - k] = squares.sqrt().mean() / math.sqrt(cell.hidden_size)
    return expected
