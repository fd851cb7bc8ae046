"""Minimal cells: their new state is affine in the old one, unit by unit, with coefficients that no state enters."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.cells import MinGRU, MinLSTM

INPUT, HIDDEN, BATCH = 3, 5, 4


@pytest.mark.parametrize("cell", [MinGRU, MinLSTM])
def test_it_is_affine_in_the_state(cell):
    cell = cell(INPUT, HIDDEN).double()
    cases.randomise(cell)
    x, h = torch.randn(BATCH, INPUT).double(), torch.randn(BATCH, HIDDEN).double()
    at_0, at_1 = cell(x, torch.zeros_like(h)), cell(x, torch.ones_like(h))
    assert cases.difference(cell(x, h), at_0 + (at_1 - at_0) * h) < 1e-12
    assert ((at_1 - at_0 > 0) & (at_1 - at_0 < 1)).all()
    assert cell.hidden_weight is None


def test_the_gates_of_the_minlstm_are_divided_by_their_sum():
    """What both gates have in common, as where both are wide open or nearly shut, changes nothing."""
    cell = MinLSTM(INPUT, HIDDEN).double()
    cases.randomise(cell)
    h, x = torch.randn(BATCH, HIDDEN).double(), torch.zeros(BATCH, INPUT).double()
    with torch.no_grad():
        for gate, bias in (("update", -30.0), ("forget", -31.0)):
            cell.rows("bias", gate).fill_(bias)
    share = torch.tensor(1.0).double().sigmoid()  # e^-30 / (e^-30 + e^-31)
    candidate = cell.rows("bias", "candidate")
    assert cases.difference(cell(x, h), share * candidate + (1 - share) * h) < 1e-12
