"""The losses of the output layer against PyTorch's, with all logits in memory."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import cases
from recurra.layers import output

POSITIONS, HIDDEN, VOCABULARY = 11, 5, 7


def arguments(bias: bool) -> list:
    tensors = [torch.randn(POSITIONS, HIDDEN), torch.randn(VOCABULARY, HIDDEN), torch.randn(VOCABULARY)]
    leaves = [cases.leaf(tensor.double()) for tensor in tensors]
    return leaves if bias else [*leaves[:2], None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("elements", [1, 3 * VOCABULARY, 10**6])
def test_cross_entropy_in_pieces_equals_pytorchs(elements, bias, monkeypatch):
    monkeypatch.setattr(output, "CHUNK_ELEMENTS", elements)
    given, targets = arguments(bias), torch.randint(VOCABULARY, (POSITIONS,))
    loss = output.cross_entropy(*given, targets)
    expected = functional.cross_entropy(functional.linear(*given), targets, reduction="sum")
    assert cases.difference(loss, expected) < 1e-12
    leaves = [tensor for tensor in given if tensor is not None]
    ours, theirs = torch.autograd.grad(3 * loss, leaves), torch.autograd.grad(3 * expected, leaves)
    assert all(cases.difference(one, other) < 1e-12 for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("elements", [1, 3 * VOCABULARY, 10**6])
def test_label_smoothing_is_as_it_is_written(elements, bias, monkeypatch):
    """(1 − ε) −log P(target) and ε times the mean of −log P over the vocabulary, with every gradient."""
    monkeypatch.setattr(output, "CHUNK_ELEMENTS", elements)
    given, targets, share = arguments(bias), torch.randint(VOCABULARY, (POSITIONS,)), 0.23
    loss = output.cross_entropy(*given, targets, share)
    costs = -torch.log_softmax(functional.linear(*given), dim=1)
    expected = sum(
        (1 - share) * cost[target] + share * cost.mean() for cost, target in zip(costs, targets, strict=True)
    )
    assert cases.difference(loss, expected) < 1e-12
    leaves = [tensor for tensor in given if tensor is not None]
    ours, theirs = torch.autograd.grad(3 * loss, leaves), torch.autograd.grad(3 * expected, leaves)
    assert all(cases.difference(one, other) < 1e-12 for one, other in zip(ours, theirs, strict=True))
    in_memory = output.cross_entropy_reference(
        *(None if one is None else one.float() for one in given), targets, share
    )
    assert cases.difference(in_memory, expected) < 1e-6


def test_cross_entropy_of_nothing_is_zero():
    hidden, weight, bias = arguments(True)
    assert output.cross_entropy(hidden[:0], weight, bias, torch.zeros(0, dtype=torch.int64)) == 0


def test_cross_entropy_holds_far_apart_logits():
    hidden, weight, bias = (1e4 * tensor for tensor in arguments(True))
    targets = torch.randint(VOCABULARY, (POSITIONS,))
    expected = functional.cross_entropy(functional.linear(hidden, weight, bias), targets, reduction="sum")
    assert cases.difference(output.cross_entropy(hidden, weight, bias, targets), expected) < 1e-12


def test_cross_entropy_takes_no_gradient_that_nobody_asked_for():
    hidden, weight, bias = arguments(True)
    loss = output.cross_entropy(
        hidden, weight.detach(), bias.detach(), torch.zeros(POSITIONS, dtype=torch.int64)
    )
    loss.backward()
    assert hidden.grad is not None
    with torch.no_grad():
        assert not output.cross_entropy(
            hidden, weight, bias, torch.zeros(POSITIONS, dtype=torch.int64)
        ).requires_grad


def test_binary_cross_entropy_is_summed_over_keys():
    """L_t = −y log ŷ − (1 − y) log(1 − ŷ), summed over steps and keys."""
    hidden, weight, bias = arguments(True)
    y = torch.randint(2, (POSITIONS, VOCABULARY)).float()
    predicted = torch.sigmoid(functional.linear(hidden, weight, bias))
    by_hand = (-y * predicted.log() - (1 - y) * (1 - predicted).log()).sum()
    assert cases.difference(output.binary_cross_entropy(hidden, weight, bias, y), by_hand) < 1e-6


def test_second_derivatives_are_refused_and_not_wrong():
    hidden = torch.randn(3, 4, requires_grad=True)
    loss = output.cross_entropy(hidden, torch.randn(5, 4), None, torch.tensor([0, 4, 2]))
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(loss, hidden, create_graph=True)
