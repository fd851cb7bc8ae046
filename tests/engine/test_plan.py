"""Stages: what is computed together, kept, saved."""

from __future__ import annotations

import pytest

from recurra.cells import CELLS, GRU, LSTM, Elman, GRUResetAfter, LayerNormLSTM
from recurra.engine.plan import plan


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
