"""The basic cells, with their units joined or independent of each other."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.cells import Elman, IndRNN, ReluElman

INPUT, HIDDEN, BATCH = 3, 5, 4


def drawn(cell):
    cell = cell(INPUT, HIDDEN).double()
    cases.randomise(cell)
    return cell


@pytest.mark.parametrize(("cell", "function"), [(Elman, torch.tanh), (ReluElman, torch.relu)])
def test_it_is_one_matrix_over_the_stacked_vector(cell, function):
    cell = drawn(cell)
    x, h = torch.randn(BATCH, INPUT).double(), torch.randn(BATCH, HIDDEN).double()
    whole = torch.cat([cell.hidden_weight, cell.input_weight], 1)
    expected = function(torch.cat([h, x], 1) @ whole.T + cell.bias)
    assert cases.difference(cell(x, h), expected) < 1e-12


def test_independent_units_see_their_own_value_alone():
    cell, x = drawn(IndRNN), torch.randn(INPUT).double()
    h = torch.randn(HIDDEN).double()
    jacobian = torch.autograd.functional.jacobian(lambda h: cell(x[None], h[None])[0], h)
    active = cell(x[None], h[None])[0] > 0
    assert 0 < active.sum() < HIDDEN
    assert cases.difference(jacobian, torch.diag(cell.vector_recurrent * active)) < 1e-12


def test_independent_units_first_sum_their_inputs():
    cell = IndRNN(INPUT, HIDDEN)
    x, h = torch.randn(BATCH, INPUT), torch.rand(BATCH, HIDDEN)
    expected = (x @ cell.input_weight.T + h).relu()
    assert cases.difference(cell(x, h), expected) < 1e-6


def test_the_activation_is_an_attribute_of_the_class():
    class Sigmoid(Elman):
        activation = "sigmoid"

    cell = drawn(Sigmoid)
    x, h = torch.randn(BATCH, INPUT).double(), torch.randn(BATCH, HIDDEN).double()
    expected = (x @ cell.input_weight.T + h @ cell.hidden_weight.T + cell.bias).sigmoid()
    assert cases.difference(cell(x, h), expected) < 1e-12
