"""Steps with gradients by a compiled kernel; the weights' gradients are one product over all steps."""

from __future__ import annotations

import pytest
import torch

import cases
from literature import LEM
from recurra import BackendError, Cell
from recurra.cells import CELLS
from recurra.cells.transform import RECURRENT_MASK, with_recurrent_dropout
from recurra.engine.cpu import build
from recurra.engine.cpu.unroll import PackedUnroll

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")

INPUT, HIDDEN, STEPS = 3, 5, 4


class NoInput(Cell):
    """No gate reads the input."""

    gates = ("a",)

    def step(self, affine, h):
        return affine.hidden("a", h).tanh() + 0.5 * h


def drawn(cell):
    cell = cell(INPUT, HIDDEN).double()
    cases.randomise(cell)
    return cell


def unroll_of(cell, program=None):
    return PackedUnroll(program or cell.program, cell.named_tensors(), HIDDEN, torch.empty(0).double())


def given(cell, rows):
    x = [cases.leaf(torch.randn(rows, INPUT).double()) for _ in range(STEPS)]
    return x, tuple(cases.leaf(torch.randn(rows, HIDDEN).double()) for _ in cell.state)


def by_steps(step, x, states, carry=lambda states, t: states):
    outputs = []
    for t, x_t in enumerate(x):
        new = step(x_t, carry(states, t))
        states = new if isinstance(new, tuple) else (new,)
        outputs.append(states[0])
    return outputs, states


def gradients(outputs, states, leaves):
    torch.manual_seed(7)
    loss = sum((value * torch.randn_like(value)).sum() for value in (*outputs, *states))
    return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize("cell", [CELLS["gru_reset_after"], LEM, cases.Everything, NoInput])
def test_outputs_and_every_gradient_are_the_cells(cell):
    cell = drawn(cell)
    x, states = given(cell, 3)
    unroll = unroll_of(cell)
    found = by_steps(lambda x_t, old: unroll(x_t, old, {}), x, states)
    expected = by_steps(cell, x, states)
    for ours, theirs in zip((*found[0], *found[1]), (*expected[0], *expected[1]), strict=True):
        assert cases.difference(ours, theirs) < 1e-12
    leaves = [*x, *states, *cell.parameters()]
    for ours, theirs in zip(gradients(*found, leaves), gradients(*expected, leaves), strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_rows_may_come_and_go_between_steps():
    cell = drawn(CELLS["lstm"])
    x, states = given(cell, 5)
    rows = [torch.arange(5), torch.tensor([4, 0, 0]), torch.tensor([2, 1, 0, 0, 2, 1]), torch.tensor([3])]

    def carry(states, t):
        return tuple(state[rows[t]] for state in states)

    inputs = [
        one[: len(picked)] if len(picked) <= 5 else torch.cat([one, one[:1]])
        for one, picked in zip(x, rows, strict=True)
    ]
    unroll, leaves = unroll_of(cell), [*x, *states, *cell.parameters()]
    found = by_steps(lambda x_t, old: unroll(x_t, old, {}), inputs, states, carry)
    expected = by_steps(cell, inputs, states, carry)
    for ours, theirs in zip(gradients(*found, leaves), gradients(*expected, leaves), strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_a_mask_multiplies_the_operand_of_every_product():
    cell = drawn(CELLS["lstm"])
    x, states = given(cell, 3)
    mask = (torch.rand(3, HIDDEN) < 0.5).double() * 2
    unroll = unroll_of(cell, with_recurrent_dropout(cell.program))
    h, c = unroll(x[0], states, {RECURRENT_MASK: mask})
    expected = cell(x[0], (mask * states[0], states[1]))
    assert cases.difference(h, expected[0]) < 1e-12
    assert cases.difference(c, expected[1]) < 1e-12
    (gradient,) = torch.autograd.grad(h.sum(), states[:1])
    assert torch.equal(gradient == 0, mask == 0)


def test_only_what_is_wanted_is_differentiated_and_only_once():
    cell = drawn(CELLS["gru"])
    for name, parameter in cell.named_parameters():
        parameter.requires_grad_(name == "hidden_weight")
    x, states = given(cell, 3)
    unroll = unroll_of(cell)
    (h,) = unroll(x[0].detach(), tuple(state.detach() for state in states), {})
    (gradient,) = torch.autograd.grad(h.sum(), [cell.hidden_weight])
    (expected,) = torch.autograd.grad(cell(x[0], states).sum(), [cell.hidden_weight])
    assert cases.difference(gradient, expected) < 1e-12
    (h,) = unroll_of(cell)(x[0], states, {})
    with pytest.raises(BackendError, match=r"first derivatives only; use backend='reference'"):
        torch.autograd.grad(h.sum(), x[0], create_graph=True)


def test_weights_that_change_in_place_before_the_backward_pass_are_noticed():
    cell = drawn(CELLS["gru"])
    x, states = given(cell, 3)
    (h,) = unroll_of(cell)(x[0], states, {})
    cases.randomise(cell)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()
