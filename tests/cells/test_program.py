"""Programs: how they print, how they are told apart, and which of their values is a gate's."""

from __future__ import annotations

import copy
import math

import pytest
import torch

import cases
import oracle
from recurra import Cell
from recurra.cells import CELLS, GRU, LSTM, Elman, PeepholeLSTM
from recurra.cells.equations import equations
from recurra.cells.program import Builder, Node, Program
from recurra.cells.transform import with_recurrent_dropout, with_zoneout

INPUT, HIDDEN = 3, 5


def program_of(cell: type[Cell]):
    return cell(INPUT, HIDDEN).program


def test_equations_of_the_textbook_come_out_again():
    lines = equations(program_of(LSTM)).splitlines()
    assert "update = sigmoid(W_update [h, x] + b_update)" in lines
    assert "candidate = tanh(W_candidate [h, x] + b_candidate)" in lines
    assert "c' = update * candidate + forget * c" in lines
    assert "h' = output * tanh(c')" in lines
    assert "candidate = tanh(W_candidate [reset * h, x] + b_candidate)" in equations(program_of(GRU))
    assert "p_output * c'" in equations(program_of(PeepholeLSTM))


@pytest.mark.parametrize("name", cases.ALL_CELLS)
def test_every_gate_of_the_built_in_cells_has_its_function(name):
    kinds = program_of(CELLS[name]).gate_kinds
    expected = {gate: "tanh" if gate == "candidate" else "sigmoid" for gate in oracle.GATES[name]}
    if name in ("relu_elman", "ind_rnn"):
        expected = {"candidate": "relu"}
    elif name in ("min_gru", "min_lstm"):
        expected["candidate"] = "none"
    elif name == "slstm":
        expected["update"] = "none"
    assert kinds == expected


def test_gates_without_one_function_are_pre_activations():
    class Mine(Cell):
        gates = ("linear", "two", "scaled", "normed")
        vectors = ("v",)
        norms = ("n",)

        def step(self, affine, h):
            two = affine("two", h)
            scaled = (affine.vector("v") * affine("scaled", h) - 1).sigmoid()
            normed = affine.norm("n", affine("normed", h)).relu()
            return affine("linear", h) + two.tanh() * two.sigmoid() + scaled * normed

    kinds = {"linear": "none", "two": "none", "scaled": "sigmoid", "normed": "relu"}
    program = program_of(Mine)
    assert program.gate_kinds == kinds
    assert with_zoneout(program, {"h": 0.1}, training=True).gate_kinds == kinds
    assert with_zoneout(program, {"h": 0.1}, training=False).gate_kinds == kinds
    assert with_recurrent_dropout(program).gate_kinds == kinds


def test_digest_depends_on_the_equations_and_not_on_sizes():
    digests = {cell(INPUT, HIDDEN).program.digest for cell in CELLS.values()}
    assert len(digests) == len(CELLS)
    assert LSTM(INPUT, HIDDEN).program.digest == LSTM(7, 2).program.digest
    assert all(len(digest) == 64 for digest in digests)


def test_canonical_form_ignores_names_and_the_order_of_operands():
    class Mine(Cell):
        gates = ("in", "keep", "new", "out")
        state = ("y", "memory")

        def step(self, affine, y, memory):
            kept = memory * affine("keep", y).sigmoid()
            memory = kept + affine("new", y).tanh() * affine("in", y).sigmoid()
            return memory.tanh() * affine("out", y).sigmoid(), memory

    assert program_of(Mine).canonical == program_of(LSTM).canonical
    forms = {program_of(cell).canonical for cell in CELLS.values()}
    assert len(forms) == len(CELLS)


@pytest.mark.parametrize(
    "step",
    [
        lambda self, affine, h: affine("candidate", h).tanh() + h,
        lambda self, affine, h: affine("candidate", h).tanh() * 0.5,
        lambda self, affine, h: affine("candidate", h * 0.5).tanh(),
        lambda self, affine, h: affine("candidate").tanh() + 0 * h,
        lambda self, affine, h: (affine.input("candidate") - affine.hidden("candidate", h)).tanh(),
        lambda self, affine, h: affine("candidate", h).sigmoid(),
    ],
)
def test_canonical_form_tells_other_equations_apart(step):
    other = type("Mine", (Cell,), {"gates": ("candidate",), "step": step})
    assert program_of(other).canonical != program_of(Elman).canonical


def test_products_stand_in_the_order_in_which_they_can_run():
    products = program_of(GRU).products
    assert [product.gates for product in products] == [("update", "reset"), ("candidate",)]


class Odd(Cell):
    """Numbers that JSON, C++ or equality make trouble of."""

    gates = ("a",)

    def step(self, affine, h):
        a = affine("a", h)
        bounded = torch.where(a > 0, a, -math.inf).clamp(-1.0, math.inf) + torch.where(a > 0, math.nan, 0.5)
        return bounded + torch.where(h > 0, float("nan"), 0.0) * torch.where(h > 0, -0.0, a)


def test_infinities_nan_and_zeros_of_both_signs_come_back_from_the_key():
    program = program_of(Odd)
    again = Program.from_key(program.key)
    assert again == program
    assert hash(again) == hash(program)
    assert again.key == program.key
    assert again.canonical == program.canonical
    assert copy.deepcopy(program) == program
    numbers = sorted(str(node.values[0]) for node in again.nodes if node.op == "constant")
    assert numbers == sorted({"-0.0", "-inf", "0.0", "0.5", "nan"})  # 0 and NaN once each


def test_numbers_are_one_where_they_are_the_same():
    builder = Builder()
    places = [builder.add("constant", values=(value,)) for value in (math.nan, float("nan"), 0.0, -0.0, 0.0)]
    assert places == [0, 0, 1, 2, 1]
    assert Node("clamp", (0,), values=(None, 0.0)) != Node("clamp", (0,), values=(None, -0.0))
    assert Node("state", name="h") != "h"
