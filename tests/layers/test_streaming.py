"""Streaming: one step at a time equals the whole."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import ConfigError, Recurrent, Regularisation, ShapeError, StateError
from recurra.cells import LSTM

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6
OPTIONS = {
    "plain": {},
    "residual": {"residual": True},
    "learned": {"initial_state": "learned"},
    "random": {"initial_state": "random"},
    "regularised": {
        "dropout": 0.3,
        "regularisation": Regularisation(
            0.2, recurrent_dropout=0.2, output_dropout=0.2, zoneout=0.3, weight_drop=0.2
        ),
    },
}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_step_by_step_equals_the_whole(cell, option, given):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, **OPTIONS[option])
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    state = cases.random_state(rnn, BATCH) if given else None
    expected, final = rnn(x, state)
    streaming = rnn.streaming()
    outputs = []
    for t in range(TIME):
        output, state = streaming.step(x[:, t], state)
        outputs.append(output)
    assert cases.difference(torch.stack(outputs, 1), expected) < 1e-12
    for (_, ours), (_, theirs) in zip(state.tensors(), final.tensors(), strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_a_stream_sees_weights_that_change_after_it_was_made():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    streaming = rnn.streaming()
    cases.randomise(rnn)
    x = torch.randn(BATCH, INPUT, dtype=torch.float64)
    assert cases.difference(streaming.step(x)[0], rnn(x[:, None])[0][:, 0]) < 1e-12


def test_rows_may_be_selected_between_steps():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    streaming, rows = rnn.streaming(), torch.tensor([2, 0, 2])
    _, state = streaming.step(x[:, 0])
    output, _ = streaming.step(x[rows, 1], state.select(rows))
    assert cases.difference(output, rnn(x[rows, :2])[0][:, 1]) < 1e-12


def test_what_cannot_be_streamed():
    with pytest.raises(ConfigError, match="needs the whole sequence"):
        Recurrent(LSTM, INPUT, HIDDEN, bidirectional=True).streaming()
    streaming = Recurrent(LSTM, INPUT, HIDDEN).streaming()
    with pytest.raises(ShapeError, match="x_t: expected"):
        streaming.step(torch.zeros(BATCH, INPUT + 1))
    _, state = streaming.step(torch.zeros(BATCH, INPUT))
    with pytest.raises(StateError, match="4 rows and the batch has 3"):
        streaming.step(torch.zeros(3, INPUT), state)
