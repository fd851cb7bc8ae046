"""Dropout: how often, with what factor, from which random numbers."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.layers.dropout import dropout, dropout_mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.001, 0.3, 0.9])
def test_entries_are_dropped_at_the_rate_and_the_others_scaled(rate: float, dtype: torch.dtype):
    torch.manual_seed(5)
    x = torch.ones(300, 1001, dtype=dtype)
    found = dropout(x, rate)
    kept = found != 0
    assert found.dtype == dtype
    torch.testing.assert_close(found[kept], (x / (1 - rate))[kept])
    # Every row, column and place within a drawn number by itself: six standard deviations.
    for share in (kept.double().mean(0), kept.double().mean(1), kept.flatten().view(-1, 4).double().mean(0)):
        deviation = math.sqrt(rate * (1 - rate) / (kept.numel() / len(share)))
        assert (share - (1 - rate)).abs().max() < 6 * deviation


def test_neighbours_are_independent():
    torch.manual_seed(6)
    kept = (dropout_mask(torch.empty(0), (40000,), 0.5) != 0).double() * 2 - 1
    for lag in range(1, 9):
        assert abs(float((kept[lag:] * kept[:-lag]).mean())) < 6 / math.sqrt(40000)


def test_gradients_pass_where_values_do():
    torch.manual_seed(7)
    x = torch.randn(5, 3, 7, dtype=torch.float64, requires_grad=True)
    found = dropout(x, 0.4)
    found.sum().backward()
    torch.testing.assert_close(x.grad, found.detach() / x.detach())


def test_the_generator_decides():
    torch.manual_seed(8)
    before = torch.get_rng_state()
    first = dropout(torch.ones(13), 0.5)
    second = dropout(torch.ones(13), 0.5)
    torch.set_rng_state(before)
    assert torch.equal(dropout(torch.ones(13), 0.5), first)
    assert not torch.equal(first, second)


def test_nothing_is_drawn_where_nothing_is_dropped():
    x, state = torch.ones(4), torch.get_rng_state()
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0) is x
    assert torch.equal(torch.get_rng_state(), state)
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)
