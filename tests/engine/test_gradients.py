"""The gradient of the hidden weights, from gradients of gates and operands, against a loop over steps."""

from __future__ import annotations

import pytest
import torch

import cases
from literature import LEM, SCRN
from recurra.cells import CELLS, GRU, LSTM, Cell
from recurra.engine.gradients import weight_gradient
from recurra.engine.plan import plan

HIDDEN, STEPS = 5, 11


class Apart(Cell):
    """Two gates of one operand, between which another one's rows lie."""

    gates = ("a", "b", "c")

    def step(self, affine, h):
        a, c = affine("a", h).tanh(), affine("c", h).sigmoid()
        return affine("b", a * h).tanh() * c


@pytest.mark.parametrize(
    "cell", [Apart, GRU, LSTM, LEM, SCRN, cases.Everything], ids=lambda cell: cell.__name__
)
def test_it_is_the_sum_over_steps_of_outer_products(cell):
    """For every gate, that of its own operand; gates of one operand need not stand together."""
    step = plan(cell(3, HIDDEN).program)
    gates = step.program.hidden_gates
    d_rows = torch.randn(STEPS, len(gates) * HIDDEN, dtype=torch.float64)
    operands = {place: torch.randn(STEPS, HIDDEN, dtype=torch.float64) for place in step.operands.values()}
    found = weight_gradient(step, d_rows, operands.__getitem__)
    expected = torch.zeros(len(gates) * HIDDEN, HIDDEN, dtype=torch.float64)
    for number, gate in enumerate(gates):
        rows = slice(number * HIDDEN, (number + 1) * HIDDEN)
        for t in range(STEPS):
            expected[rows] += torch.outer(d_rows[t, rows], operands[step.operands[gate]][t])
    assert cases.difference(found, expected) < 1e-12


def test_one_product_for_gates_that_stand_together(monkeypatch):
    shapes = []
    monkeypatch.setattr(torch, "mm", lambda a, b, out: shapes.append(tuple(a.shape)))
    for name in ("lstm", "gru"):
        step = plan(CELLS[name](3, HIDDEN).program)
        d_rows = torch.randn(STEPS, len(step.program.hidden_gates) * HIDDEN)
        weight_gradient(step, d_rows, lambda place: torch.zeros(STEPS, HIDDEN))
    assert shapes == [(4 * HIDDEN, STEPS), (2 * HIDDEN, STEPS), (HIDDEN, STEPS)]
