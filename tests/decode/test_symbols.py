"""The best symbols of each row against a stable sort; n-grams against a plain search."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.decode.symbols import BLOCK, best_symbols, block_repeats, first_largest
from toy_stepper import repeats


@pytest.mark.parametrize("levels", [3, 60, 1_000_000])  # ties everywhere, at some boundaries, hardly any
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("size", [1, 2, 7, 24 * BLOCK, 40 * BLOCK + 5])
def test_best_symbols_equal_a_stable_sort(size, count, levels):
    generator = torch.Generator().manual_seed(size + count)
    log_probs = -torch.randint(levels, (30, size), generator=generator).double()
    log_probs[0] = -math.inf
    log_probs[1, 1:] = -math.inf
    excluded = torch.tensor([0, size // 2, size - 1]).unique()
    before = log_probs.clone()
    values, ids = best_symbols(log_probs, count, excluded)
    allowed = log_probs.index_fill(1, excluded, -math.inf)
    expected, order = allowed.sort(dim=1, descending=True, stable=True)
    assert torch.equal(values, expected[:, :count])
    possible = values > -math.inf
    assert torch.equal(ids[possible], order[:, :count][possible])
    assert torch.equal(log_probs, before)


def test_first_largest_is_the_lowest_id():
    scores = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-math.inf, 0.0, -1.0]])
    assert first_largest(scores).tolist() == [1, 0, 1]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_blocked_symbols_are_those_that_repeat(n):
    generator = torch.Generator().manual_seed(n)
    for length in (0, 1, 2, 4, 9):
        prefixes = torch.randint(3, (20, length), generator=generator)
        log_probs = torch.rand(20, 4, generator=generator).log()
        before = log_probs.clone()
        blocked = block_repeats(log_probs, prefixes, n)
        assert torch.equal(log_probs, before)
        for row, prefix in enumerate(prefixes.tolist()):
            earlier = {tuple(prefix[at : at + n]) for at in range(length - n + 1)}
            for symbol in range(4):
                repeated = tuple([*prefix, symbol][-n:]) in earlier and length >= n
                assert blocked[row, symbol] == (-math.inf if repeated else before[row, symbol])
                assert repeats((*prefix, symbol), n) or not repeated
