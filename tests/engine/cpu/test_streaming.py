"""One step by a compiled kernel with packed weights, against the cell itself."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import Cell
from recurra.cells import CELLS
from recurra.engine.cpu import build
from recurra.engine.cpu.streaming import PackedStep
from recurra.engine.rounding import rounded

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")

INPUT, HIDDEN = 3, 5


class NoInput(Cell):
    """No gate reads the input, and one state leaves as it came."""

    gates = ("a",)
    state = ("h", "kept")

    def step(self, affine, h, kept):
        return affine.hidden("a", h).tanh() + kept, kept


def packed(cell, hidden=HIDDEN, dtype=torch.float64, weights=None):
    cell = cell(INPUT, hidden).to(dtype)
    cases.randomise(cell)
    like = torch.empty(0, dtype=dtype)
    return cell, PackedStep(cell.program, cell.named_tensors(), hidden, weights, like)


def given(cell, rows, hidden=HIDDEN, dtype=torch.float64):
    states = tuple(torch.randn(rows, hidden, dtype=dtype) for _ in cell.state)
    return torch.randn(rows, INPUT, dtype=dtype), states


@torch.no_grad()
def differences(cell, step, x, states):
    expected = cell(x, states)
    expected = expected if isinstance(expected, tuple) else (expected,)
    new = step(x, states)
    assert len(new) == len(expected)
    return [cases.difference(ours, theirs) for ours, theirs in zip(new, expected, strict=True)]


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("cell", [CELLS["gru_reset_after"], cases.Everything, NoInput])
def test_it_computes_what_the_cell_does(cell, rows):
    cell, step = packed(cell)
    assert max(differences(cell, step, *given(cell, rows))) < 1e-12


@pytest.mark.parametrize("hidden", [1, 17, 33])
def test_any_width_and_type(hidden):
    cell, step = packed(CELLS["peephole_lstm"], hidden, torch.float32)
    assert max(differences(cell, step, *given(cell, 3, hidden, torch.float32))) < 1e-5


def test_inputs_may_lie_in_any_order_and_are_left_alone():
    cell, step = packed(CELLS["lstm"])
    x, states = given(cell, 4)
    strided = [one.T.contiguous().T for one in (x, *states)]
    before = [one.clone() for one in strided]
    new = step(strided[0], tuple(strided[1:]))
    for ours, theirs in zip(new, step(x, states), strict=True):
        assert torch.equal(ours, theirs)
    assert all(torch.equal(one, old) for one, old in zip(strided, before, strict=True))


def test_no_rows_pass_through():
    cell, step = packed(CELLS["lstm"])
    x, states = given(cell, 0)
    assert step(x, states) is states


def test_weights_are_as_they_were_when_they_were_packed():
    cell, step = packed(CELLS["gru"])
    x, states = given(cell, 2)
    before = step(x, states)[0]
    cases.randomise(cell)
    assert torch.equal(step(x, states)[0], before)


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["gru_reset_after", "layer_norm_lstm"])
def test_rounded_weights_have_the_values_they_are_said_to_have(name, weights):
    cell, step = packed(CELLS[name], 19, torch.float32, weights)
    x, states = given(cell, 3, 19, torch.float32)
    exact = differences(cell, step, x, states)
    cell.load_state_dict(rounded(cell.program, cell.named_tensors(), 19, weights))
    assert max(differences(cell, step, x, states)) < 1e-5 < max(exact)
