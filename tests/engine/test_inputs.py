"""What generated kernels are given: products with the inputs, and per-unit parameters in the plan's order."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import cases
from recurra import Cell
from recurra.cells import CELLS, LSTM
from recurra.engine import Call
from recurra.engine.inputs import per_unit_parameters, project
from recurra.engine.plan import vectors

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6


def call_of(cell, dtype=torch.float64):
    cell = cell(INPUT, HIDDEN).to(dtype)
    cases.randomise(cell)
    states = tuple(torch.randn(BATCH, HIDDEN, dtype=dtype) for _ in cell.state)
    return Call(
        cell.program, cell.named_tensors(), torch.randn(BATCH, TIME, INPUT, dtype=dtype), states, cell=cell
    )


@pytest.mark.parametrize("name", ["lstm", "layer_norm_lstm", "gru_reset_after"])
def test_the_product_has_the_input_gates_biases_if_there_are_any(name):
    call = call_of(CELLS[name])
    bias = call.parameters.get("bias")
    expected = functional.linear(call.x, call.parameters["input_weight"], bias)
    assert torch.equal(project(call, call.x), expected)
    flat = call.x.flatten(0, 1)[:7]
    assert torch.equal(project(call, flat), functional.linear(flat, call.parameters["input_weight"], bias))


def test_it_keeps_the_states_type_under_autocast_and_rounds_only_where_that_is_asked_for():
    call = call_of(LSTM, torch.float32)
    expected = project(call, call.x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(project(call, call.x), expected)
        assert torch.equal(project(call, call.x.bfloat16()), project(call, call.x.bfloat16().float()))
        rounded = project(call, call.x, bfloat16=True)
    assert rounded.dtype == torch.float32
    assert 1e-5 < cases.difference(rounded, expected) < 3e-2


def test_without_input_gates_it_is_empty():
    class Mine(Cell):
        gates = ("a",)

        def step(self, affine, h):
            return affine.hidden("a", h).tanh()

    assert project(call_of(Mine), torch.randn(7, INPUT)).shape == (7, 0)


@pytest.mark.parametrize("cell", [CELLS["gru_reset_after"], CELLS["peephole_lstm"], cases.Everything])
def test_per_unit_parameters_come_in_the_plans_order(cell):
    call = call_of(cell)
    program, parameters = call.program, call.parameters
    found = dict(zip(vectors(program), per_unit_parameters(program, parameters, HIDDEN), strict=True))
    assert all(value.shape == (HIDDEN,) for value in found.values())
    for name, value in found.items():
        if name.startswith("hidden_bias_"):
            gate = name.removeprefix("hidden_bias_")
            assert torch.equal(value, call.cell.rows("hidden_bias", gate))
        else:
            assert torch.equal(value, parameters[name])
