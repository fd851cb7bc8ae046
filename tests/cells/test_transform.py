"""Dropout and zoneout in a program, evaluated step by step with masks by hand."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.cells import CELLS, GRU, LSTM
from recurra.cells.transform import RECURRENT_MASK, with_recurrent_dropout, with_zoneout, zoneout_mask
from recurra.engine.reference import OneStep

INPUT, HIDDEN, BATCH = 3, 5, 4


def drawn(cell):
    cell = cell(INPUT, HIDDEN).double()
    cases.randomise(cell)
    return cell


def new_states(cell, program, x, states, masks=None):
    step = OneStep(program, cell.named_tensors(), HIDDEN)
    values = step.evaluate(step.project(x), tuple(states), masks or {})
    return [values[output].expand_as(states[0]) for output in program.outputs]


def given(cell):
    states = [torch.randn(BATCH, HIDDEN).double() for _ in cell.state]
    return torch.randn(BATCH, INPUT).double(), states


@pytest.mark.parametrize("name", cases.ALL_CELLS)
def test_a_mask_of_ones_changes_nothing_and_parameters_stay(name):
    cell = drawn(CELLS[name])
    x, states = given(cell)
    program = with_recurrent_dropout(cell.program)
    assert program.masks == ((RECURRENT_MASK,) if cell.program.products else ())
    ones = {RECURRENT_MASK: torch.ones(BATCH, HIDDEN).double()}
    expected = new_states(cell, cell.program, x, states)
    for ours, theirs in zip(new_states(cell, program, x, states, ones), expected, strict=True):
        assert torch.equal(ours, theirs)
    for kind in ("gates", "states", "input_gates", "hidden_gates", "hidden_bias_gates", "has_bias"):
        assert getattr(program, kind) == getattr(cell.program, kind)


def test_the_mask_multiplies_what_enters_each_product_and_not_the_state():
    """The GRU's candidate multiplies reset * h, which is masked after the reset gate."""
    cell = drawn(GRU)
    x, (h,) = given(cell)
    mask = (torch.rand(BATCH, HIDDEN).double() > 0.5) / 0.5

    def affine(gate, operand):
        rows = cell.rows("input_weight", gate), cell.rows("hidden_weight", gate), cell.rows("bias", gate)
        return x @ rows[0].T + (mask * operand) @ rows[1].T + rows[2]

    update, reset = affine("update", h).sigmoid(), affine("reset", h).sigmoid()
    expected = update * affine("candidate", reset * h).tanh() + (1 - update) * h
    (ours,) = new_states(cell, with_recurrent_dropout(cell.program), x, [h], {RECURRENT_MASK: mask})
    assert cases.difference(ours, expected) < 1e-12


def test_zoneout_keeps_units_in_training_and_their_expectation_in_evaluation():
    cell, rate = drawn(LSTM), 0.3
    x, states = given(cell)
    fresh = new_states(cell, cell.program, x, states)
    kept = torch.rand(BATCH, HIDDEN) < 0.5
    training = with_zoneout(cell.program, {"c": rate}, training=True)
    assert training.masks == (zoneout_mask("c"),)
    h, c = new_states(cell, training, x, states, {zoneout_mask("c"): kept})
    assert torch.equal(h, fresh[0])
    assert torch.equal(c, torch.where(kept, states[1], fresh[1]))
    evaluation = with_zoneout(cell.program, {"c": rate}, training=False)
    assert evaluation.masks == ()
    h, c = new_states(cell, evaluation, x, states)
    assert torch.equal(h, fresh[0])
    assert cases.difference(c, rate * states[1] + (1 - rate) * fresh[1]) < 1e-12


def test_a_rate_of_zero_is_no_transformation():
    program = drawn(LSTM).program
    assert with_zoneout(program, {"h": 0.0}, training=True) == program
    assert with_zoneout(program, {}, training=False) == program


def test_both_go_together():
    program = with_zoneout(with_recurrent_dropout(drawn(LSTM).program), {"h": 0.1, "c": 0.2}, training=True)
    assert program.masks == (RECURRENT_MASK, zoneout_mask("h"), zoneout_mask("c"))
    assert program.from_key(program.key) == program
