"""Every cell in every wrapper, on every backend, against the oracle."""

from __future__ import annotations

import itertools

import pytest
import torch

import cases
import grid

PAIRWISE = grid.pairwise_cases()
REST = [case for case in grid.every_case() if case not in PAIRWISE]


def assert_agrees_with_oracle(case: grid.Case) -> None:
    found = grid.differences(case, case.build())
    wrong = {name: value for name, value in found.items() if value > grid.TOLERANCE[case.dtype]}
    assert not wrong


@pytest.mark.parametrize("case", PAIRWISE, ids=str)
def test_agrees_with_oracle(case):
    """Outputs, final states and every gradient."""
    assert_agrees_with_oracle(case)


@pytest.mark.full
@pytest.mark.parametrize("case", REST, ids=str)
def test_agrees_with_oracle_in_full(case):
    assert_agrees_with_oracle(case)


def test_selection_is_small_and_covers_every_pair():
    covered = set().union(*(grid.pairs(case) for case in PAIRWISE))
    assert covered == set().union(*(grid.pairs(case) for case in grid.every_case()))
    assert len(PAIRWISE) < 40


@pytest.mark.parametrize("chunk", [None, 2])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_carry_from_call_to_call_equals_the_whole(cell, ragged, chunk):
    """Three calls with the state carried, gradients through all of them."""
    rnn = cases.recurrent(cell, grid.INPUT, [5, 4], chunk=chunk)
    batch, borders = len(grid.LENGTHS), [0, 2, 3, grid.TIME]
    lengths = torch.tensor(grid.LENGTHS if ragged else [grid.TIME] * batch)
    x = cases.leaf(torch.randn(batch, grid.TIME, grid.INPUT, dtype=torch.float64))
    start = cases.random_state(rnn, batch).map(cases.leaf)
    leaves = {"x": x, **dict(rnn.named_parameters()), **dict(start.tensors())}
    whole, final = rnn(x, start, lengths)
    weights = torch.randn_like(whole)
    pieces, state = [], start
    for first, last in itertools.pairwise(borders):
        outputs, state = rnn(x[:, first:last], state, (lengths - first).clamp(0, last - first))
        pieces.append(outputs)
    carried = torch.cat(pieces, 1)
    assert cases.difference(carried, whole) < 1e-12
    for (_, ours), (_, theirs) in zip(state.tensors(), final.tensors(), strict=True):
        assert cases.difference(ours, theirs) < 1e-12
    ours = grid.gradients((carried * weights).sum() + sum(s.sum() for _, s in state.tensors()), leaves)
    theirs = grid.gradients((whole * weights).sum() + sum(s.sum() for _, s in final.tensors()), leaves)
    assert max(cases.difference(ours[name], theirs[name]) for name in leaves) < 1e-12


@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_gradcheck(cell):
    """Analytic gradients equal finite differences, in float64, ragged, from a given state."""
    rnn = cases.recurrent(cell, 2, 3)
    lengths = torch.tensor([3, 0, 2])
    x = cases.leaf(torch.randn(3, 3, 2, dtype=torch.float64))
    start = cases.random_state(rnn, 3).map(cases.leaf)
    names = [name for name, _ in rnn.named_parameters()]
    keys = [key for key, _ in start.tensors()]

    def function(x, *tensors):
        state = type(start).from_dict(dict(zip(keys, tensors[: len(keys)], strict=True)))
        parameters = dict(zip(names, tensors[len(keys) :], strict=True))
        outputs, final = torch.func.functional_call(rnn, parameters, (x, state, lengths))
        return outputs, *(tensor for _, tensor in final.tensors())

    inputs = (x, *(tensor for _, tensor in start.tensors()), *rnn.parameters())
    assert torch.autograd.gradcheck(function, inputs)
