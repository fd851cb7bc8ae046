"""What tells the LSTMs apart; their equations are compared with the oracle in `test_cell.py` and in the grid."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.cells import CELLS, LSTM, CoupledLSTM, CoursePeepholeLSTM, LayerNormLSTM, PeepholeLSTM

INPUT, HIDDEN, BATCH = 3, 5, 4


def drawn(cell):
    cell = cell(INPUT, HIDDEN).double()
    cases.randomise(cell)
    return cell


def given():
    """x, h and c."""
    return [torch.randn(BATCH, size, dtype=torch.float64) for size in (INPUT, HIDDEN, HIDDEN)]


@pytest.mark.parametrize("name", ["lstm", "peephole_lstm", "course_peephole_lstm"])
def test_a_shut_update_gate_and_an_open_forget_gate_keep_the_memory(name):
    cell, (x, h, c) = drawn(CELLS[name]), given()
    with torch.no_grad():
        cell.rows("bias", "update").fill_(-1e3)
        cell.rows("bias", "forget").fill_(1e3)
    new_h, new_c = cell(x, (h, c))
    assert torch.equal(new_c, c)
    assert not torch.equal(new_h, h)


def test_coupled_is_an_lstm_that_forgets_what_it_does_not_admit():
    """forget = 1 - sigmoid(a) = sigmoid(-a): the update gate's rows with the other sign."""
    coupled, lstm, (x, h, c) = drawn(CoupledLSTM), drawn(LSTM), given()
    with torch.no_grad():
        for name in ("input_weight", "hidden_weight", "bias"):
            for gate in coupled.gates:
                lstm.rows(name, gate).copy_(coupled.rows(name, gate))
            lstm.rows(name, "forget").copy_(-coupled.rows(name, "update"))
    for ours, theirs in zip(coupled(x, (h, c)), lstm(x, (h, c)), strict=True):
        assert cases.difference(ours, theirs) < 1e-12


@pytest.mark.parametrize("cell", [PeepholeLSTM, CoursePeepholeLSTM])
def test_without_peepholes_it_is_an_lstm(cell):
    with_peepholes, lstm, (x, h, c) = drawn(cell), LSTM(INPUT, HIDDEN).double(), given()
    with torch.no_grad():
        for name in cell.vectors:
            getattr(with_peepholes, f"vector_{name}").zero_()
    lstm.load_state_dict({k: v for k, v in with_peepholes.state_dict().items() if "vector" not in k})
    for ours, theirs in zip(with_peepholes(x, (h, c)), lstm(x, (h, c)), strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_the_two_peephole_forms_differ():
    torch.manual_seed(3)
    one, other = PeepholeLSTM(INPUT, HIDDEN), CoursePeepholeLSTM(INPUT, HIDDEN)
    cases.randomise(one)
    other.load_state_dict(one.state_dict())
    x, h, c = torch.randn(BATCH, INPUT), torch.randn(BATCH, HIDDEN), torch.randn(BATCH, HIDDEN)
    (h_one, c_one), (h_other, c_other) = one(x, (h, c)), other(x, (h, c))
    torch.testing.assert_close(c_one, c_other)
    assert cases.difference(h_one, h_other) > 1e-2


def test_layer_norm_takes_out_the_scale_and_the_mean_of_a_gates_weights():
    cell, (x, h, c) = drawn(LayerNormLSTM), given()
    before = cell(x, (h, c))
    with torch.no_grad():
        for name, vector in (("input_weight", x), ("hidden_weight", h)):
            rows = cell.rows(name, "candidate")
            rows.mul_(64.0).add_(torch.ones(HIDDEN, 1).double() * torch.randn(1, vector.shape[1]).double())
    for ours, theirs in zip(cell(x, (h, c)), before, strict=True):
        assert cases.difference(ours, theirs) < 1e-3  # eps weighs less in what is larger
