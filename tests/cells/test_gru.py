"""What tells the GRUs apart: the sign of the update gate, and where the reset gate acts."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.cells import CELLS, GRU, GRUResetAfter, MinimalGatedUnit, SimplifiedGRU

INPUT, HIDDEN, BATCH = 3, 5, 4


def drawn(cell):
    cell = cell(INPUT, HIDDEN).double()
    cases.randomise(cell)
    return cell


def given():
    """x and h."""
    return torch.randn(BATCH, INPUT).double(), torch.randn(BATCH, HIDDEN).double()


@torch.no_grad()
def shut(cell, gate, bias):
    cell.rows("bias", gate).fill_(bias)


def copied(cell, other, gates):
    """`cell` with the weights and biases that `other` has for each of its gates."""
    with torch.no_grad():
        for name in ("input_weight", "hidden_weight", "bias"):
            for gate, source in gates.items():
                cell.rows(name, gate).copy_(other.rows(name, source))
    return cell


@pytest.mark.parametrize(
    ("name", "gate", "bias"),
    [
        ("simplified_gru", "update", -1e3),
        ("gru", "update", -1e3),
        ("minimal_gated_unit", "forget", -1e3),
        ("gru_reset_after", "update", 1e3),
    ],
)
def test_which_sign_of_the_gate_keeps_the_state(name, gate, bias):
    cell, (x, h) = drawn(CELLS[name]), given()
    shut(cell, gate, bias)
    assert torch.equal(cell(x, h), h)
    shut(cell, gate, -bias)
    assert cases.difference(cell(x, h), h) > 0.1
    assert cell(x, h).abs().max() < 1  # the candidate alone


def test_an_open_reset_gate_makes_it_the_simplified_one():
    gru, (x, h) = drawn(GRU), given()
    shut(gru, "reset", 1e3)
    simplified = copied(drawn(SimplifiedGRU), gru, {gate: gate for gate in SimplifiedGRU.gates})
    assert cases.difference(gru(x, h), simplified(x, h)) < 1e-12


def test_a_shut_reset_gate_hides_the_state_from_the_candidate():
    for cell, keeps in ((GRU, -1e3), (GRUResetAfter, 1e3)):
        gru, (x, h) = drawn(cell), given()
        shut(gru, "reset", -1e3)
        shut(gru, "update", -keeps)
        assert torch.equal(gru(x, h), gru(x, -h))


def test_the_minimal_unit_resets_and_updates_by_one_gate():
    minimal, (x, h) = drawn(MinimalGatedUnit), given()
    gates = {"update": "forget", "reset": "forget", "candidate": "candidate"}
    assert cases.difference(copied(drawn(GRU), minimal, gates)(x, h), minimal(x, h)) < 1e-12
