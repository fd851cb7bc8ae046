"""The sLSTM: what its stabiliser leaves as it is, and what it keeps from happening."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import Recurrent
from recurra.cells import SLSTM

INPUT, HIDDEN, BATCH = 3, 5, 4


def test_slstm_is_the_papers_without_stabiliser():
    """Beck 2024, equations 8 to 14, from a zero state."""
    cell = SLSTM(INPUT, HIDDEN).double()
    cases.randomise(cell)
    x = torch.randn(6, BATCH, INPUT, dtype=torch.float64)
    state = tuple(torch.zeros(BATCH, HIDDEN, dtype=torch.float64) for _ in cell.state)
    h = c = n = state[0]
    for x_t in x:
        state = cell(x_t, state)
        update, forget, candidate, output = (
            x_t @ cell.rows("input_weight", gate).T
            + h @ cell.rows("hidden_weight", gate).T
            + cell.rows("bias", gate)
            for gate in cell.gates
        )
        c = forget.sigmoid() * c + update.exp() * candidate.tanh()
        n = forget.sigmoid() * n + update.exp()
        h = output.sigmoid() * c / n
        assert cases.difference(state[0], h) < 1e-12


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_slstm_neither_overflows_nor_divides_by_zero(scale):
    """float32, pre-activations far beyond where an exponential or a sigmoid is a number other than 0 or 1."""
    rnn = Recurrent(SLSTM, INPUT, HIDDEN)
    x = (torch.randn(BATCH, 9, INPUT) * scale).requires_grad_()
    outputs, final = rnn(x)
    assert outputs.abs().max() <= 1
    assert final.layers[0][0]["n"].min() >= 1
    gradients = torch.autograd.grad(outputs.square().sum(), [x, *rnn.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)
