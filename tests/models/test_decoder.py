"""The decoder by itself: whole targets against one symbol at a time, and what is carried between them."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.cells import GRU, LSTM
from recurra.contracts import State
from recurra.layers.attention import Memory
from recurra.layers.attention_steps import attend_by_steps
from recurra.models.decoder import Decoder, DecoderState
from recurra.models.translation_config import EncoderDecoderConfig

ROWS, TARGETS, SOURCES = 3, 5, 4
EMBEDDING, HIDDEN, FEATURES = 5, 6, 7
WIRINGS = {
    "none": {"attention": "none"},
    "luong": {"attention": "luong", "input_feeding": False},
    "input feeding": {"attention": "luong", "input_feeding": True},
    "bahdanau": {"attention": "bahdanau", "energy": "additive"},
    "gnmt": {"attention": "gnmt", "num_layers": 3, "energy": "additive"},
}


def build(name: str, cell=LSTM) -> tuple[Decoder, EncoderDecoderConfig]:
    settings = {"input_feeding": False, "num_layers": 2} | WIRINGS[name]
    config = EncoderDecoderConfig(embedding_size=EMBEDDING, hidden_size=HIDDEN, **settings)
    decoder = Decoder(cell, config, FEATURES, {"backend": "reference"}).double().eval()
    cases.randomise(decoder)
    return decoder, config


def start_state(decoder: Decoder) -> State:
    parts = [cases.random_state(layers, ROWS) for layers in decoder.layers]
    return State(tuple(layer for part in parts for layer in part.layers))


def memory_of(decoder: Decoder, config: EncoderDecoderConfig) -> Memory | None:
    if decoder.attention is None:
        return None
    values = torch.randn(ROWS, SOURCES, config.memory_size, dtype=torch.float64)
    return decoder.attention.memory(values, torch.tensor([4, 1, 3]))


@pytest.mark.parametrize("cell", [LSTM, GRU])
@pytest.mark.parametrize("name", ["none", "luong", "gnmt"])
def test_a_whole_target_equals_its_symbols_one_by_one(name, cell):
    torch.manual_seed(3)
    decoder, config = build(name, cell)
    carried = decoder.start(start_state(decoder))
    memory = memory_of(decoder, config)
    embedded = torch.randn(ROWS, TARGETS, EMBEDDING, dtype=torch.float64)
    assert not decoder.feeds_back
    features, weights = decoder(embedded, carried, memory, torch.full((ROWS,), TARGETS))
    attend = None if memory is None else attend_by_steps(decoder.attention, memory)
    steps = [layers.unroll() for layers in decoder.layers]
    for t in range(TARGETS):
        feature, weight, carried = decoder.step(embedded[:, t], carried, attend, steps)
        torch.testing.assert_close(feature, features[:, t], rtol=0, atol=1e-12)
        assert (weight is None) == (weights is None)
        if weights is not None:
            torch.testing.assert_close(weight, weights[:, t], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["input feeding", "bahdanau"])
def test_where_a_step_depends_on_the_one_before_it_goes_step_by_step(name):
    torch.manual_seed(4)
    decoder, config = build(name)
    assert decoder.feeds_back
    carried = decoder.start(start_state(decoder))
    assert (carried.fed_back is not None) == (name == "input feeding")
    memory = memory_of(decoder, config)
    attend = attend_by_steps(decoder.attention, memory)
    steps = [layers.unroll() for layers in decoder.layers]
    x = torch.randn(ROWS, EMBEDDING, dtype=torch.float64)
    features, weights, carried = decoder.step(x, carried, attend, steps)
    assert features.shape == (ROWS, FEATURES)
    torch.testing.assert_close(weights.sum(1), torch.ones(ROWS, dtype=torch.float64))
    if name == "input feeding":
        assert carried.fed_back is features


def test_rows_of_what_is_carried_may_repeat_and_shrink():
    decoder, _ = build("input feeding")
    carried = decoder.start(start_state(decoder))
    fed_back = torch.randn(ROWS, FEATURES, dtype=torch.float64)
    rows = torch.tensor([2, 2, 0, 1])
    chosen = DecoderState(carried.states, fed_back).select(rows)
    assert torch.equal(chosen.fed_back, fed_back[rows])
    assert torch.equal(chosen.states[0].layers[0][0]["c"], carried.states[0].layers[0][0]["c"][rows])
    assert carried.select(rows).states[0].batch_size == 4
