"""Attention one step at a time, with gradients: what a decoder that feeds back attends by.

B batch (a source each), T target steps, Tx source length, M memory, Q query.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from recurra.engine.additive import additive_d_keys_and_score, additive_d_projected, additive_energies
from recurra.engine.deferred_gradients import DeferredGradients
from recurra.errors import BackendError
from recurra.layers.attention import Attention, Memory

Attend = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From queries `[B, Q]` to contexts `[B, M]` and weights `[B, Tx]`."""


def attend_by_steps(attention: Attention, memory: Memory) -> Attend:
    """Attention over a memory, one query per source and step; computes what `attention` does."""
    if not torch.is_grad_enabled() or torch.is_autocast_enabled(memory.values.device.type):

        def attend(query: Tensor) -> tuple[Tensor, Tensor]:
            context, weights = attention(query.unsqueeze(1), memory)
            return context.squeeze(1), weights.squeeze(1)

        return attend
    if not attention.additive:
        scale = attention.scale(memory.keys)
        steps = AttentionSteps(memory, _Products())
        return lambda query: steps(query * scale)
    steps = AttentionSteps(memory, _Additive(attention.unit_score))
    return lambda query: steps(functional.linear(query, attention.query_weight))  # type: ignore[arg-type]


class _Energies(Protocol):
    """Energies between queries `[B, T, Q]` and keys `[B, Tx, Q]`, and what goes back from them."""

    parameters: tuple[Tensor, ...]

    def of(self, queries: Tensor, memory: Memory) -> Tensor:
        """`[B, T, Tx]`; what they are on padding means nothing."""
        ...

    def d_queries(self, queries: Tensor, memory: Memory, d_energies: Tensor) -> Tensor:
        """`[B, T, Q]`, from the gradient by the energies, which is 0 on padding."""
        ...

    def d_memory(self, queries: Tensor, memory: Memory, d_energies: Tensor) -> tuple[Tensor, ...]:
        """The gradients by the keys `[B, Tx, Q]` and by the parameters."""
        ...


class _Products:
    """q · k."""

    parameters: tuple[Tensor, ...] = ()

    def of(self, queries: Tensor, memory: Memory) -> Tensor:
        # Rows times matrices: PyTorch takes several times as long over matrices times columns.
        return torch.bmm(queries, memory.keys.mT)

    def d_queries(self, queries: Tensor, memory: Memory, d_energies: Tensor) -> Tensor:
        return torch.bmm(d_energies, memory.keys)

    def d_memory(self, queries: Tensor, memory: Memory, d_energies: Tensor) -> tuple[Tensor, ...]:
        return (torch.bmm(d_energies.mT, queries),)


class _Additive:
    """v · tanh(q + k), of queries and keys in the hidden layer of the energies."""

    def __init__(self, score: Tensor) -> None:
        self.parameters: tuple[Tensor, ...] = (score,)
        self.score = score.detach()

    def of(self, queries: Tensor, memory: Memory) -> Tensor:
        return additive_energies(queries, memory.keys, memory.padding, self.score)

    def d_queries(self, queries: Tensor, memory: Memory, d_energies: Tensor) -> Tensor:
        return additive_d_projected(queries, memory.keys, memory.padding, self.score, d_energies)

    def d_memory(self, queries: Tensor, memory: Memory, d_energies: Tensor) -> tuple[Tensor, ...]:
        return additive_d_keys_and_score(queries, memory.keys, memory.padding, self.score, d_energies)


class AttentionSteps:
    """Steps of attention to one memory.

    Autograd would add to the gradients of the whole memory at every step. Here each step defers what they are
    made of, and one product over all steps makes them: every step depends on a token, whose own gradient, which
    comes last, is where that happens.

    Args:
        memory: of the B sources.
        energies: between its keys and queries.
    """

    def __init__(self, memory: Memory, energies: _Energies) -> None:
        self.memory = Memory(memory.values.detach(), memory.keys.detach(), memory.padding)
        self.energies = energies
        self.deferred: DeferredGradients[tuple[Tensor, ...]] = DeferredGradients()  # gradients of the memory
        self.token = _Memory.apply(self, memory.values, memory.keys, *energies.parameters)

    def __call__(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """The contexts `[B, M]` and the weights `[B, Tx]` for queries `[B, Q]`."""
        context, weights = _Step.apply(self, self.token, query)
        return context, weights


class _Memory(torch.autograd.Function):
    """Nothing forwards; backwards the gradients of values, keys and parameters, over all steps."""

    @staticmethod
    def forward(ctx: Any, steps: AttentionSteps, values: Tensor, keys: Tensor, *parameters: Tensor) -> Tensor:
        ctx.steps = steps
        return values.new_zeros(())

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        steps = ctx.steps
        of_steps = zip(*steps.deferred.pop_all(), strict=True)
        weights, d_context, d_energies, queries = (torch.stack(one, dim=1) for one in of_steps)
        d_memory = steps.energies.d_memory(queries, steps.memory, d_energies)
        return None, torch.bmm(weights.mT, d_context), *d_memory


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, steps: AttentionSteps, token: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        memory = steps.memory
        energies = steps.energies.of(query.unsqueeze(1), memory).squeeze(1)
        weights = torch.softmax(energies.masked_fill_(memory.padding, -torch.inf), dim=1)
        ctx.steps = steps
        ctx.save_for_backward(query, weights)
        ctx.set_materialize_grads(False)
        return torch.bmm(weights.unsqueeze(1), memory.values).squeeze(1), weights

    @staticmethod
    def backward(ctx: Any, d_context: Tensor | None, d_weights: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise BackendError(
                "attention by steps gives first derivatives only; attend over whole targets (no input feeding)."
            )
        steps, memory = ctx.steps, ctx.steps.memory
        query, weights = ctx.saved_tensors
        if d_context is None:
            d_context = memory.values.new_zeros(len(query), memory.values.shape[2])
        d = torch.bmm(d_context.unsqueeze(1), memory.values.mT).squeeze(1)
        if d_weights is not None:
            d = d + d_weights
        d_energies = weights * (d - (weights * d).sum(1, keepdim=True))
        steps.deferred.add((weights, d_context, d_energies, query))
        d_query = steps.energies.d_queries(query.unsqueeze(1), memory, d_energies.unsqueeze(1))
        return None, query.new_zeros(()), d_query.squeeze(1)
