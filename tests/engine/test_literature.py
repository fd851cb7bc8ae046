"""Cells of the literature that no built-in cell is like, on the cpu backend against the reference."""

from __future__ import annotations

import pytest
import torch

import cases
from agreement import assert_equal, both
from literature import CTRNN, LEM, LTC, SCRN, Both
from recurra import Recurrent, Regularisation
from recurra.engine.cpu import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")
LENGTHS = torch.tensor([4, 0, 2, 1, 4])


@pytest.mark.parametrize("cell", [LEM, SCRN, CTRNN, LTC, Both], ids=lambda cell: cell.__name__)
def test_agrees_with_the_reference(cell):
    """Outputs, states and every gradient, over rows of which some are shorter and one is empty, whole and in chunks."""
    assert_equal(both(cell, lengths=LENGTHS))
    assert_equal(both(cell, lengths=LENGTHS, chunk=3))


def test_a_new_state_that_is_an_operand_with_masks():
    """After zoneout the new state is another value than the one that is multiplied."""
    options = Regularisation(recurrent_dropout=0.4, zoneout={"z": 0.3})
    assert_equal(both(LEM, lengths=LENGTHS, training=True, regularisation=options))


def test_a_new_state_that_is_an_operand_in_float32_and_bfloat16():
    assert_equal(both(LEM, lengths=LENGTHS, dtype=torch.float32), 1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert_equal(both(LEM, lengths=LENGTHS, dtype=torch.float32), 3e-2)


def test_a_new_state_that_is_an_operand_step_by_step():
    """Unrolled, with gradients, and streaming."""
    rnn = Recurrent(LEM, 3, [5, 7], num_layers=2, backend="cpu").double()
    cases.randomise(rnn)
    x, start = cases.leaf(torch.randn(4, 6, 3, dtype=torch.float64)), cases.random_state(rnn, 4)
    unrolled, streaming = rnn.unroll(), rnn.streaming()
    expected, final = rnn(x, start)
    steps, streamed = [], []
    state = other = start
    for t in range(x.shape[1]):
        output, state = unrolled.step(x[:, t], state)
        steps.append(output)
        output, other = streaming.step(x[:, t], other)
        streamed.append(output)
    assert cases.difference(torch.stack(streamed, 1), expected) < 1e-12
    weights = torch.randn_like(expected)
    leaves = [x, *rnn.parameters()]
    ours = torch.autograd.grad(
        (torch.stack(steps, 1) * weights).sum() + state.layers[0][0]["z"].sum(), leaves
    )
    theirs = torch.autograd.grad((expected * weights).sum() + final.layers[0][0]["z"].sum(), leaves)
    assert all(cases.difference(*pair) < 1e-12 for pair in zip(ours, theirs, strict=True))
