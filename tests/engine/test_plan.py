"""Stages: what is computed together, kept, saved."""

from __future__ import annotations

import time

import pytest
import torch

import literature
from recurra import Cell
from recurra.cells import CELLS, GRU, LSTM, Elman, GRUResetAfter, LayerNormLSTM
from recurra.cells.equations import equations
from recurra.engine.cpu.emit import Machine, emit, emit_streaming
from recurra.engine.gpu import emit as triton
from recurra.engine.plan import plan, plan_streaming

MACHINE = Machine("float", 64, 32)


def planned(cell):
    return plan(cell(3, 5).program)


@pytest.mark.parametrize(
    ("cell", "forward", "backward"),
    [
        (Elman, [1], [0, 1]),
        (LSTM, [4], [0, 4]),  # all gates at once; on the way back one sum of four products
        (GRU, [2, 1], [0, 2, 1]),
        (GRUResetAfter, [3], [0, 3]),
        (LayerNormLSTM, [4, 0, 0, 0, 0], None),
    ],
)
def test_products_by_stage(cell, forward, backward):
    step = planned(cell)
    assert [len(stage.terms) for stage in step.forward.stages] == forward
    if backward is not None:
        assert [len(stage.terms) for stage in step.backward.stages] == backward


def test_products_into_one_gradient_share_one_sum():
    (_, last) = planned(LSTM).backward.stages
    assert len(last.sums) == 1


def test_the_lstm_saves_its_gates_and_the_tanh_of_its_memory():
    step = planned(LSTM)
    assert sorted(step.forward.nodes[index].op for index in step.saved) == ["sigmoid"] * 3 + ["tanh"] * 2
    assert not step.hidden_apart
    assert planned(GRUResetAfter).hidden_apart


@pytest.mark.parametrize("name", CELLS)
def test_every_node_is_at_hand_when_it_is_used(name):
    step = planned(CELLS[name])
    for one in (step.forward, step.backward):
        known = set(one.sources)
        for stage in one.stages:
            for index in (*stage.means, *stage.sums, *stage.body):
                node = one.nodes[index]
                for arg in node.args:
                    assert arg in known or not one.nodes[arg].args, (index, arg)
                known.add(index)


def test_where_the_operands_of_products_lie():
    gru = planned(GRU)
    kind, number = gru.operands["candidate"]
    assert kind == "saved"
    assert gru.forward.nodes[gru.saved[int(number)]].op == "mul"  # reset * h
    assert gru.operands["update"] == gru.operands["reset"] == ("state", "h")
    lem = planned(literature.LEM).operands
    assert lem == dict.fromkeys(("fast", "slow", "z"), ("state", "y")) | {"y": ("new", "z")}


def test_a_new_state_is_not_saved_a_second_time():
    step = planned(literature.SCRN)
    assert step.operands["slow"] == ("new", "s")
    assert not {step.forward.targets["new", state] for state in ("h", "s")} & set(step.saved)


class Euler(Cell):
    """An ODE whose solver is unfolded."""

    gates = ("f", "t")
    state = ("v",)
    times = 100

    def step(self, affine, v):
        f, t = affine("f", v).tanh(), affine("t").sigmoid()
        for _ in range(self.times):
            v = v + 0.1 * t * (f - v)
        return v


class Chain(Cell):
    """One operation on the other, each in its own way hard to keep or to compute again."""

    gates = ("a",)
    times = 1000

    def step(self, affine, h):
        value = affine("a", h)
        for number in range(self.times):
            if number % 4 == 0:
                value = value.tanh()
            elif number % 4 == 1:
                value = torch.maximum(0.9 * value, 0.3 - h)
            else:
                value = value - 0.1 * h
        return value.tanh()


class CheapOperand(Chain):
    """What a product multiplies is a chain of operations that cost nothing."""

    def step(self, affine, h):
        value = h
        for _ in range(self.times):
            value = (0.9 * value).relu() - 0.01
        return affine("a", value).tanh() * value


def sources(cell):
    """Every text that is made of a cell."""
    program = cell(3, 5).program
    step = plan(program)
    plan_streaming(program)
    texts = [equations(program), equations(program, latex=True), emit(step, MACHINE), triton.emit(step)]
    return [*texts, emit_streaming(program, MACHINE, "real")]


def test_a_hundred_steps_of_an_ode_are_planned_at_once():
    begun = time.process_time()
    texts = sources(Euler)
    assert time.process_time() - begun < 1
    twice = sources(type("Twice", (Euler,), {"times": 200}))
    for text, longer in zip(texts, twice, strict=True):
        assert len(longer.splitlines()) < 2 * len(text.splitlines())


@pytest.mark.parametrize("cell", [Euler, Chain, CheapOperand], ids=lambda cell: cell.__name__)
def test_a_thousand_operations_one_on_the_other(cell):
    """No recursion, and no line that grows with them."""
    long = type("Long", (cell,), {"times": 1000})
    for text in sources(long):
        assert len(text) > 1000
        assert max(map(len, text.splitlines())) < 1000
    step = plan(long(3, 5).program)
    for one in (step.forward, step.backward):
        computed = [index for stage in one.stages for index in stage.body]
        assert len(computed) == len(set(computed))


def test_a_cheap_chain_is_computed_again_instead_of_kept():
    step = planned(CheapOperand)
    assert len(step.saved) == 2  # the operand and the tanh
