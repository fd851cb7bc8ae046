"""Attention one step at a time, with gradients: what a decoder that feeds back attends by.

B batch (a source each), T target steps, Tx source length, M memory, Q query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recurra.engine.shares import Shares
from recurra.errors import BackendError
from recurra.layers.attention import Attention, Memory

Attend = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From queries `[B, Q]` to contexts `[B, M]` and weights `[B, Tx]`."""


def attend_by_steps(attention: Attention, memory: Memory) -> Attend:
    """Attention over a memory, one query per source and step; computes what `attention` does."""
    gathers = torch.is_grad_enabled() and not torch.is_autocast_enabled(memory.values.device.type)
    if gathers and not attention.additive:
        return ProductSteps(memory, attention.scale(memory.keys))

    def attend(query: Tensor) -> tuple[Tensor, Tensor]:
        context, weights = attention(query.unsqueeze(1), memory)
        return context.squeeze(1), weights.squeeze(1)

    return attend


class ProductSteps:
    """Steps of an attention whose energies are products of queries and keys.

    Autograd would add to the gradients of the whole memory at every step. Here each step leaves what they are
    made of, and one product over all steps makes them: every step depends on a token, whose own gradient, which
    comes last, is where that happens.

    Args:
        memory: of the B sources.
        scale: of the energies.
    """

    def __init__(self, memory: Memory, scale: float) -> None:
        self.values, self.keys, self.padding = memory.values.detach(), memory.keys.detach(), memory.padding
        self.scale = scale
        self.shares: Shares[tuple[Tensor, ...]] = Shares()  # of the steps, in the gradients of the memory
        self.token = _Memory.apply(self, memory.values, memory.keys)

    def __call__(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """The contexts `[B, M]` and the weights `[B, Tx]` for queries `[B, Q]`."""
        context, weights = _Step.apply(self, self.token, query)
        return context, weights


class _Memory(torch.autograd.Function):
    """Nothing forwards; backwards the gradients of values and keys, over all steps."""

    @staticmethod
    def forward(ctx: Any, steps: ProductSteps, values: Tensor, keys: Tensor) -> Tensor:
        ctx.steps = steps
        return values.new_zeros(())

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        left = zip(*ctx.steps.shares.take(), strict=True)
        weights, d_context, d_energy, query = (torch.stack(one, dim=1) for one in left)
        return None, torch.bmm(weights.mT, d_context), torch.bmm(d_energy.mT, query)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, steps: ProductSteps, token: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        query = query * steps.scale
        # Rows times matrices: PyTorch takes several times as long over matrices times columns.
        energies = torch.bmm(query.unsqueeze(1), steps.keys.mT).squeeze(1)
        weights = torch.softmax(energies.masked_fill_(steps.padding, -torch.inf), dim=1)
        ctx.steps = steps
        ctx.save_for_backward(query, weights)
        ctx.set_materialize_grads(False)
        return torch.bmm(weights.unsqueeze(1), steps.values).squeeze(1), weights

    @staticmethod
    def backward(ctx: Any, d_context: Tensor | None, d_weights: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise BackendError(
                "attention by steps gives first derivatives only; attend over whole targets (no input feeding)."
            )
        steps = ctx.steps
        query, weights = ctx.saved_tensors
        if d_context is None:
            d_context = steps.values.new_zeros(len(query), steps.values.shape[2])
        d = torch.bmm(d_context.unsqueeze(1), steps.values.mT).squeeze(1)
        if d_weights is not None:
            d = d + d_weights
        d_energy = weights * (d - (weights * d).sum(1, keepdim=True))
        steps.shares.leave((weights, d_context, d_energy, query))
        d_query = torch.bmm(d_energy.unsqueeze(1), steps.keys).squeeze(1) * steps.scale
        return None, query.new_zeros(()), d_query
