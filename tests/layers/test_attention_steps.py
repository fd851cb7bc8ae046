"""Attention step by step against attention over whole targets: outputs and all gradients."""

from __future__ import annotations

import pytest
import torch

from recurra.errors import BackendError
from recurra.layers.attention import ENERGIES, Attention
from recurra.layers.attention_steps import attend_by_steps

SOURCES, STEPS, LONGEST, MEMORY = 3, 4, 5, 6
LENGTHS = torch.tensor([5, 1, 3])


def memory_and_queries(energy: str) -> tuple[Attention, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    width = MEMORY if energy in ("dot", "scaled") else 7
    attention = Attention(energy, width, MEMORY).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    values = torch.randn(SOURCES, LONGEST, MEMORY, dtype=torch.float64, requires_grad=True)
    queries = torch.randn(SOURCES, STEPS, width, dtype=torch.float64, requires_grad=True)
    return attention, values, queries


@pytest.mark.parametrize("energy", ENERGIES)
@pytest.mark.parametrize("weighs", [False, True], ids=["context", "context and weights"])
def test_agrees_with_attention_over_whole_targets(energy: str, weighs: bool):
    """With `weighs` the loss depends on the weights themselves as well, and one step is left out of it."""
    results = []
    for by_steps in (False, True):
        attention, values, queries = memory_and_queries(energy)
        memory = attention.memory(values, LENGTHS)
        if by_steps:
            attend = attend_by_steps(attention, memory)
            pairs = [attend(query) for query in queries.unbind(1)]
            assert all(context.grad_fn.name() == "_StepBackward" for context, _ in pairs)
            context, weights = (torch.stack(one, dim=1) for one in zip(*pairs, strict=True))
        else:
            context, weights = attention(queries, memory)
        torch.manual_seed(4)
        used = STEPS - 1 if weighs else STEPS
        loss = (context * torch.randn_like(context))[:, :used].sum()
        if weighs:
            loss = loss + (weights * torch.randn_like(weights)).square().sum()
        gradients = torch.autograd.grad(loss, [values, queries, *attention.parameters()])
        results.append([context.detach(), weights.detach(), *gradients])
    for whole, steps in zip(*results, strict=True):
        torch.testing.assert_close(steps, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("energy", ["general", "normed_additive"])
def test_two_backward_passes_do_not_mix(energy: str):
    attention, values, queries = memory_and_queries(energy)
    attend = attend_by_steps(attention, attention.memory(values, LENGTHS))
    context, _ = attend(queries[:, 0])
    first = torch.autograd.grad(context.sum(), values, retain_graph=True)[0]
    second = torch.autograd.grad(context.sum(), values, retain_graph=True)[0]
    torch.testing.assert_close(second, first, rtol=0.0, atol=0.0)
    torch.autograd.grad(context.sum(), queries, retain_graph=True)  # which leaves its share unasked for
    third = torch.autograd.grad(context.sum(), values)[0]
    torch.testing.assert_close(third, first, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("energy", ["dot", "additive"])
def test_second_derivatives_are_refused(energy: str):
    attention, values, queries = memory_and_queries(energy)
    context, _ = attend_by_steps(attention, attention.memory(values, LENGTHS))(queries[:, 0])
    with pytest.raises(BackendError, match="first derivatives"):
        torch.autograd.grad(context.sum(), values, create_graph=True)
