"""A step on symbols that hold tensors, where it has forms that plain tensors lack."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import cases
from recurra import Cell, CellError
from recurra.cells.program import BINARY, COMPARISONS, UNARY
from recurra.cells.values import FUNCTIONS, step_on_symbols

INPUT, HIDDEN, BATCH = 3, 5, 4


class Forms(Cell):
    """Forms that tensors do not take: a method, numbers for functions, a change in place."""

    gates = ("a", "b")
    state = ("h", "c")
    vectors = ("v",)
    norms = ("n",)

    def step(self, affine, h, c):
        h += affine("a", h)
        c = affine.norm("n", c.maximum(0.1) + affine.input("b")).softplus()
        return h.tanh() * affine.vector("v"), torch.where(h > c, 0.5, 2) - affine.hidden("b", c)


def by_hand(cell, x, h, c):
    def half(name, gate, operand):
        return operand @ cell.rows(name, gate).T

    h = h + half("input_weight", "a", x) + half("hidden_weight", "a", h) + cell.rows("bias", "a")
    c = c.clamp(min=0.1) + half("input_weight", "b", x) + cell.rows("bias", "b")
    normed = (c - c.mean(1, keepdim=True)) / (c.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    c = functional.softplus(normed * cell.norm_n_gain + cell.norm_n_shift)
    second = torch.where(h > c, 0.5, 2.0).double()
    return h.tanh() * cell.vector_v, second - half("hidden_weight", "b", c) - cell.hidden_bias


def test_it_computes_what_the_notation_means():
    cell = Forms(INPUT, HIDDEN).double()
    cases.randomise(cell)
    x = torch.randn(BATCH, INPUT).double()
    states = [torch.randn(BATCH, HIDDEN).double() for _ in cell.state]
    before = [state.clone() for state in states]
    assert not cell.traced_in(True).on_tensors
    for ours, theirs in zip(cell(x, states), by_hand(cell, x, *states), strict=True):
        assert cases.difference(ours, theirs) < 1e-12
    assert all(torch.equal(state, old) for state, old in zip(states, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_take_the_type_of_the_states(dtype):
    state = torch.randn(BATCH, HIDDEN, dtype=dtype)
    (new,) = step_on_symbols(
        lambda affine, h: torch.where(h > 0, 0.1, 2) + h.minimum(0.25), None, [state], "Mine.step"
    )
    assert new.dtype == dtype
    expected = torch.where(state > 0, torch.tensor(0.1, dtype=dtype), torch.tensor(2.0, dtype=dtype))
    assert torch.equal(new, expected + state.clamp(max=0.25))


def test_messages_name_the_step():
    state = torch.randn(BATCH, HIDDEN)
    with pytest.raises(CellError, match=r"Mine\.step: .*`@` cannot be traced"):
        step_on_symbols(lambda affine, h: h @ h, None, [state], "Mine.step")


def test_every_operation_of_a_program_is_a_function():
    assert {*BINARY, *COMPARISONS, *UNARY, "maximum", "minimum", "where", "clamp"} == set(FUNCTIONS)
