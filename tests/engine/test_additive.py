"""Additive energies and their gradients against autograd over the formula, compiled and by PyTorch."""

from __future__ import annotations

import pytest
import torch

from recurra.engine import additive, cpu
from recurra.engine.additive import (
    additive_d_keys_and_score,
    additive_d_projected,
    additive_energies,
)

SHAPES = [(1, 1, 1, 1), (3, 2, 5, 7), (2, 4, 3, 8), (5, 1, 9, 37), (1, 3, 6, 64)]
TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


@pytest.fixture(params=["compiled", "by PyTorch"])
def way(request, monkeypatch) -> str:
    if request.param == "by PyTorch":
        monkeypatch.setattr(additive, "_compiled", lambda *_: False)
    elif cpu.build.obstacle():
        pytest.skip(str(cpu.build.obstacle()))
    return request.param


def arguments(shape: tuple[int, int, int, int], dtype: torch.dtype) -> list[torch.Tensor]:
    """p, k, the padding and v; what lies on padding is large, and the memory is not contiguous."""
    sources, queries, positions, width = shape
    torch.manual_seed(sum(shape))
    projected = torch.randn(queries, sources, width, dtype=dtype).transpose(0, 1)
    keys = torch.randn(positions, sources, width, dtype=dtype).transpose(0, 1)
    lengths = 1 + torch.arange(sources) * 2 % positions
    padding = torch.arange(positions) >= lengths[:, None]
    keys = torch.where(padding[:, :, None], 1e4, keys)
    return [projected, keys, padding, torch.randn(width, dtype=dtype)]


def formula(projected: torch.Tensor, keys: torch.Tensor, padding: torch.Tensor, score: torch.Tensor):
    energies = torch.tanh(projected[:, :, None] + keys[:, None]) @ score
    return energies.masked_fill(padding[:, None], -torch.inf)


@pytest.fixture(params=[1, 3], ids=["1 thread", "3 threads"])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_energies_and_gradients(way: str, shape: tuple[int, int, int, int], dtype: torch.dtype):
    given = arguments(shape, dtype)
    projected, keys, padding, score = given
    assert additive._compiled(projected, keys, score) == (way == "compiled")
    leaves = [one.requires_grad_() for one in (projected, keys, score)]
    expected = formula(*given)
    d_energies = torch.randn(expected.shape, dtype=dtype).masked_fill(padding[:, None], 0.0)
    wanted = torch.autograd.grad(expected, leaves, d_energies)
    with torch.no_grad():
        found = additive_energies(*given)
        gradients = (additive_d_projected(*given, d_energies), *additive_d_keys_and_score(*given, d_energies))
    close = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    torch.testing.assert_close(found, expected.detach(), **close)
    for mine, theirs in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, **close)


def test_what_differs_in_type_is_left_to_pytorch():
    projected, keys, padding, score = arguments((3, 2, 5, 7), torch.float32)
    assert not additive._compiled(projected.bfloat16(), keys.bfloat16(), score)
    found = additive_energies(projected.bfloat16(), keys.bfloat16(), padding, score.bfloat16())
    close = {"rtol": 0.1, "atol": 0.1}
    torch.testing.assert_close(found.float(), formula(projected, keys, padding, score), **close)
