"""Ways between our order of weights and that of another system, here one that nobody has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import cases
from recurra import CellError, ShapeError
from recurra.cells import GRU, GRUResetAfter
from recurra.layers.layouts import (
    Block,
    Layout,
    blocks_of,
    build,
    cells_of,
    check_name,
    layouts_of,
    refuse_hooks,
    refuse_options,
    to_array,
    to_tensor,
)
from recurra.layers.variants import GRU_EQUATIONS, Equations, program_of, sigmoid, tanh

ORDER = {"GRU": ("candidate", "reset", "update"), "LSTM": ("output", "candidate", "forget", "update")}
LSTM_EQUATIONS = Equations("LSTM", (sigmoid, tanh, tanh))
INPUT, HIDDEN = 3, 5


def gates_of(tensor, order):
    return dict(zip(order, tensor.chunk(len(order)), strict=True))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gates_are_put_in_the_systems_order(bidirectional):
    rnn = cases.recurrent("lstm", INPUT, [5, 4], bidirectional=bidirectional)
    equations, layers = blocks_of(rnn, [GRU_EQUATIONS, LSTM_EQUATIONS], ORDER, "to_x", "x computes LSTMs")
    assert equations == LSTM_EQUATIONS
    for cells, blocks in zip(cells_of(rnn), layers, strict=True):
        for cell, block in zip(cells, blocks, strict=True):
            for name in ("input_weight", "hidden_weight", "bias"):
                for gate, rows in gates_of(getattr(block, name), ORDER["LSTM"]).items():
                    assert torch.equal(rows, cell.rows(name, gate))
            assert block.hidden_size == cell.hidden_size
            assert not block.hidden_bias.any()
    again = build(layouts_of(equations, ORDER)[0], layers)
    x, lengths = torch.randn(4, 6, INPUT).double(), torch.tensor([6, 0, 3, 1])
    assert torch.equal(again(x, lengths=lengths)[0], rnn(x, lengths=lengths)[0])


def test_a_gate_of_the_other_sign_is_negated_on_the_way():
    first, second = layouts_of(GRU_EQUATIONS, ORDER)
    assert (first.cell, first.negated) == (GRU, ("update",))
    assert second.negated == ()
    rnn = cases.recurrent("gru", INPUT, HIDDEN)
    _, [[block]] = blocks_of(rnn, [GRU_EQUATIONS], ORDER, "to_x", "x computes GRUs")
    cell = cells_of(rnn)[0][0]
    parts = gates_of(block.hidden_weight, ORDER["GRU"])
    assert torch.equal(parts["update"], -cell.rows("hidden_weight", "update"))
    assert torch.equal(parts["reset"], cell.rows("hidden_weight", "reset"))


@pytest.mark.parametrize("frozen", [False, True])
def test_two_biases_become_one_sum_which_trains_if_either_does(frozen):
    layout = layouts_of(GRU_EQUATIONS, ORDER)[0]
    tensors = [torch.randn(shape) for shape in ((15, INPUT), (15, HIDDEN), (15,), (15,))]
    tensors[3].requires_grad_(not frozen)
    rnn = build(layout, [[Block(*tensors)]], keep_frozen=True)
    cell = cells_of(rnn)[0][0]
    sums = gates_of(tensors[2] + tensors[3], ORDER["GRU"])
    assert torch.equal(cell.rows("bias", "reset"), sums["reset"])
    assert torch.equal(cell.rows("bias", "update"), -sums["update"])
    assert cell.bias.requires_grad is not frozen
    assert not cell.input_weight.requires_grad


def test_a_system_without_biases_gets_a_cell_without():
    program = program_of(GRUResetAfter)
    layout = Layout(GRUResetAfter, program, ORDER["GRU"])
    rnn = build(layout, [[Block(torch.randn(15, INPUT), torch.randn(15, HIDDEN))]])
    assert {name for name, _ in rnn.named_parameters()} == {
        "cells.0.0.input_weight",
        "cells.0.0.hidden_weight",
    }


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((14, INPUT), (15, HIDDEN), (15,)), r"expected input weights of shape \[15, 3\].*got \[14, 3\]"),
        (((15, INPUT), (10, HIDDEN), (15,)), r"expected recurrent weights of shape \[15, 5\]"),
        (((15, INPUT), (15, HIDDEN), (10,)), r"expected bias of shape \[15\]"),
    ],
)
def test_shapes_are_checked(shapes, message):
    layout = layouts_of(GRU_EQUATIONS, ORDER)[0]
    with pytest.raises(ShapeError, match=message):
        build(layout, [[Block(*(torch.zeros(shape) for shape in shapes))]])


def test_types_and_directions_are_checked():
    layout = layouts_of(GRU_EQUATIONS, ORDER)[0]
    block = Block(torch.zeros(15, INPUT), torch.zeros(15, HIDDEN), torch.zeros(15).double())
    with pytest.raises(ShapeError, match=r"expected all weights and biases in torch\.float32"):
        build(layout, [[block]])
    good = Block(torch.zeros(15, INPUT), torch.zeros(15, HIDDEN), torch.zeros(15))
    with pytest.raises(ShapeError, match="the same number of directions in every layer"):
        build(layout, [[good, good], [good]])


def test_what_a_system_does_not_compute_is_refused():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    with pytest.raises(CellError, match="to_x: x computes GRUs, but not LSTM"):
        blocks_of(rnn, [GRU_EQUATIONS], ORDER, "to_x", "x computes GRUs")
    with pytest.raises(CellError, match=r"mode: expected one of one, two, got 'oen'.*'one'\?"):
        check_name("mode", "oen", ["one", "two"])


def test_options_and_hooks_have_no_counterpart():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, num_layers=2, dropout=0.3)
    refuse_options(rnn, "to_x", "x", held=("dropout",))
    with pytest.raises(CellError, match=r"to_x: x has no counterpart of dropout=0\.3; set rnn\.dropout = 0"):
        refuse_options(rnn, "to_x", "x")
    rnn.dropout = 0.0
    refuse_options(rnn, "to_x", "x")
    rnn.register_forward_hook(lambda *_: None)
    with pytest.raises(CellError, match="rnn: has a forward hook, which does not convert; remove it first"):
        refuse_hooks(rnn, "rnn")


def test_arrays_go_and_come_with_their_types():
    for dtype in (np.float16, np.float32, np.float64, ">f4"):
        array = np.arange(6, dtype=dtype).reshape(2, 3)
        tensor = to_tensor(array, "W")
        array[0, 0] = 7
        assert tensor[0, 0] == 0
        back = to_array(tensor.T, "to_x")
        assert back.flags["C_CONTIGUOUS"]
        assert np.array_equal(back.T[1:], array[1:])
    with pytest.raises(ShapeError, match="W: expected an array of float16, float32 or float64, got int64"):
        to_tensor(np.arange(3), "W")
    with pytest.raises(ShapeError, match=r"to_x: numpy has no bfloat16; convert rnn\.float\(\)"):
        to_array(torch.zeros(2).bfloat16(), "to_x")
