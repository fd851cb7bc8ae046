"""Weights in the order in which kernels read them, by a loop over that order."""

from __future__ import annotations

import pytest
import torch

import cases
from literature import LEM
from recurra.cells import GRU, LSTM
from recurra.engine.cpu.emit import Machine, tile
from recurra.engine.cpu.packing import pack, pairs
from recurra.engine.plan import plan, plan_streaming

MACHINE = Machine("float", 16, 16)  # four numbers in a vector


def by_hand(plan, hidden, block):
    """Stage by stage, tile by tile, operand by operand, place by place, term by term, unit by unit."""
    numbers = []
    for stage in plan.stages:
        if not stage.terms:
            continue
        width = tile(stage, MACHINE)[1] * MACHINE.lanes
        for first in range(0, hidden, width):
            for operand in stage.operands:
                terms = [term for term in stage.terms if term.operand == operand]
                for k in range(block(terms[0]).shape[1]):
                    for term in terms:
                        for unit in range(first, first + width):
                            numbers.append(float(block(term)[unit, k]) if unit < hidden else 0.0)
    return torch.tensor(numbers)


@pytest.mark.parametrize("hidden", [1, 5, 8, 11])
@pytest.mark.parametrize("cell", [LSTM, GRU, LEM, cases.Everything], ids=lambda cell: cell.__name__)
def test_the_order_is_the_kernels(cell, hidden):
    program = cell(3, hidden).program
    step = plan(program)
    hidden_weight = torch.randn(len(program.hidden_gates), hidden, hidden)
    input_weight = torch.randn(len(program.input_gates), hidden, 3)

    def block(term):
        if term.matrix == "input":
            return input_weight[program.input_gates.index(term.gate)]
        weights = hidden_weight[program.hidden_gates.index(term.gate)]
        return weights.T if term.matrix == "transposed" else weights

    for one in (step.forward, step.backward, plan_streaming(program)[0]):
        packed = pack(one, MACHINE, hidden, block, torch.empty(0))
        assert packed.dtype == torch.float32
        assert torch.equal(packed, by_hand(one, hidden, block))


def test_nothing_to_pack_is_empty_and_of_the_type_asked_for():
    from recurra.cells import IndRNN

    step = plan(IndRNN(3, 5).program)
    assert pack(step.forward, MACHINE, 5, lambda term: None, torch.empty(0).double()).shape == (0,)
    assert pack(step.forward, MACHINE, 5, lambda term: None, torch.empty(0).int()).dtype == torch.int32


@pytest.mark.parametrize("places", [1, 4, 7])
def test_neighbouring_places_share_a_number_in_bfloat16(places):
    weights = torch.randn(5, places)
    packed = pairs(weights)
    assert packed.dtype == torch.int32
    assert packed.shape == (5, (places + 1) // 2)
    apart = packed.view(torch.bfloat16)  # [5, 2 * pairs]
    assert torch.equal(apart[:, :places], weights.bfloat16())
    assert not apart[:, places:].any()
