"""The compiled energies of additive attention, by a loop over sources, queries and positions."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.engine.cpu import additive, build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")

SOURCES, QUERIES, POSITIONS, WIDTH = 3, 2, 5, 7


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def given(request):
    """p, k, padding and v; the second source is one position long."""
    padding = torch.arange(POSITIONS) >= torch.tensor([[5], [1], [3]])
    projected = torch.randn(SOURCES, QUERIES, WIDTH, dtype=request.param)
    keys = torch.randn(SOURCES, POSITIONS, WIDTH, dtype=request.param)
    return projected, keys, padding, torch.randn(WIDTH, dtype=request.param)


def tolerance(tensor):
    return 1e-12 if tensor.dtype == torch.float64 else 1e-5


def places(padding):
    """Source, query and position of what is no padding."""
    return [
        (s, k, t)
        for s in range(SOURCES)
        for k in range(QUERIES)
        for t in range(POSITIONS)
        if not padding[s, t]
    ]


def test_energies(given):
    projected, keys, padding, score = given
    found = additive.energies(projected, keys, padding, score)
    expected = torch.full((SOURCES, QUERIES, POSITIONS), -torch.inf, dtype=projected.dtype)
    for s, k, t in places(padding):
        expected[s, k, t] = score @ (projected[s, k] + keys[s, t]).tanh()
    assert torch.equal(found.isfinite(), expected.isfinite())
    assert cases.difference(found[found.isfinite()], expected[expected.isfinite()]) < tolerance(score)


def test_gradients(given):
    projected, keys, padding, score = given
    d_energies = torch.randn(SOURCES, QUERIES, POSITIONS, dtype=score.dtype)
    d_energies = d_energies.masked_fill(padding[:, None], 0.0)
    d_projected, d_keys, d_score = (torch.zeros_like(one) for one in (projected, keys, score))
    for s, k, t in places(padding):
        unit = (projected[s, k] + keys[s, t]).tanh()
        slope = d_energies[s, k, t] * score * (1 - unit**2)
        d_projected[s, k] += slope
        d_keys[s, t] += slope
        d_score += d_energies[s, k, t] * unit
    found = (
        additive.d_projected(*given, d_energies),
        *additive.d_keys_and_score(*given, d_energies),
    )
    for ours, theirs in zip(found, (d_projected, d_keys, d_score), strict=True):
        assert cases.difference(ours, theirs) < tolerance(score)


def test_memory_may_lie_in_any_order(given):
    projected, keys, padding, score = given
    expected = additive.energies(projected, keys, padding, score)
    strided = [one.transpose(0, 1).contiguous().transpose(0, 1) for one in (projected, keys, padding)]
    assert not strided[0].is_contiguous()
    assert torch.equal(additive.energies(*strided, score), expected)
