"""Reversal of ragged sequences: what the backward direction of a layer reads.

B batch, T time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.engine.transformations import transformations


def reverse(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each row `[T, ...]` of `x` backwards up to its length; what lies past it stays."""
    if lengths is None:
        return x.flip(1)
    time = torch.arange(x.shape[1], device=x.device)
    steps = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # [B, T]
    rows = torch.arange(x.shape[0], device=x.device) * x.shape[1]
    order = (rows[:, None] + steps).flatten()
    if transformations():  # PyTorch's own operators go through all of them
        return _permuted(x, order)
    reversed_: Tensor = _Permuted.apply(x, order)
    return reversed_


def _permuted(x: Tensor, order: Tensor) -> Tensor:
    return x.flatten(0, 1).index_select(0, order).view_as(x)


class _Permuted(torch.autograd.Function):
    """Steps `[B * T]` of `[B, T, ...]` in another order, which is its own inverse.

    The gradient is in that order too; autograd, which cannot know that no step is taken twice, would add.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return _permuted(x, order)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        permuted: Tensor = _Permuted.apply(gradient, order)
        return permuted, None
