"""Streaming: one step at a time equals the whole."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import ConfigError, Recurrent, Regularisation, ShapeError, StateError
from recurra.cells import LSTM
from recurra.engine.cpu import build

BACKENDS = ("auto", "reference", *(("cpu",) if build.compiler() else ()))
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
    options = dict(OPTIONS[option])
    if "regularisation" in options:
        options["regularisation"] = cases.fitting(options["regularisation"], cell)
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, **options)
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


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_refuses_once_the_parameters_have_changed(backend):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, backend=backend)
    streaming = rnn.streaming()
    x = torch.randn(BATCH, INPUT, dtype=torch.float64)
    streaming.step(x)
    cases.randomise(rnn)
    with pytest.raises(StateError, match=r"parameters have changed .* call streaming\(\) again"):
        streaming.step(x)
    assert cases.difference(rnn.streaming().step(x)[0], rnn(x[:, None])[0][:, 0]) < 1e-12
    rnn.load_state_dict({name: value.clone() for name, value in rnn.state_dict().items()}, assign=True)
    streaming = rnn.streaming()
    rnn.float()
    with pytest.raises(StateError, match="parameters have changed"):
        streaming.step(x)


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("cell", ["gru_reset_after", "peephole_lstm", "layer_norm_lstm"])
def test_fewer_bits_are_the_same_on_every_backend(cell, weights):
    """The rounded weights are the same values, and so the outputs; they differ from the exact ones by their bits."""
    rnn = cases.recurrent(cell, 7, 37, torch.float32, num_layers=2)
    x = torch.randn(5, 4, 7)
    outputs = {}
    for backend in BACKENDS:
        rnn.backend = backend
        streaming, state, found = rnn.streaming(weights), None, []
        for t in range(4):
            output, state = streaming.step(x[:, t], state)
            found.append(output)
        outputs[backend] = torch.stack(found, 1)
    exact, _ = rnn(x)
    for output in outputs.values():
        assert cases.difference(output, outputs["reference"]) < 1e-5
        error = cases.difference(output, exact)
        assert error < {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.06}[weights]
        assert weights == "float32" or error > 1e-5


@pytest.mark.skipif("cpu" not in BACKENDS, reason="there is no C++ compiler here")
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_several_threads_give_the_same(rows, monkeypatch):
    from recurra.engine.cpu import streaming as kernels

    rnn = cases.recurrent("gru", 5, 67, num_layers=2, backend="cpu")
    x, state = torch.randn(rows, 5, dtype=torch.float64), cases.random_state(rnn, rows)
    expected, _ = rnn.streaming().step(x, state)
    threads = torch.get_num_threads()
    monkeypatch.setattr(kernels, "THREADS_ABOVE", 0)
    try:
        torch.set_num_threads(3)
        assert cases.difference(rnn.streaming().step(x, state)[0], expected) < 1e-12
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif("cpu" not in BACKENDS, reason="there is no C++ compiler here")
def test_the_packed_weights_are_what_runs(monkeypatch):
    from recurra.engine.cpu import streaming as kernels

    streaming = cases.recurrent("gru", INPUT, HIDDEN).streaming()
    monkeypatch.setattr(kernels, "in_threads", lambda *_: pytest.fail("ran"))
    with pytest.raises(pytest.fail.Exception, match="ran"):
        streaming.step(torch.zeros(1, INPUT, dtype=torch.float64))


def test_rows_may_be_selected_between_steps():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    streaming, rows = rnn.streaming(), torch.tensor([2, 0, 2])
    _, state = streaming.step(x[:, 0])
    output, _ = streaming.step(x[rows, 1], streaming.select(state, rows))
    assert cases.difference(output, rnn(x[rows, :2])[0][:, 1]) < 1e-12


def test_what_cannot_be_streamed():
    with pytest.raises(ConfigError, match="needs the whole sequence"):
        Recurrent(LSTM, INPUT, HIDDEN, bidirectional=True).streaming()
    with pytest.raises(ConfigError, match=r"weights: expected one of float32, .* Did you mean 'int8'"):
        Recurrent(LSTM, INPUT, HIDDEN).streaming("int4")
    with pytest.raises(ConfigError, match="made from float32 parameters"):
        Recurrent(LSTM, INPUT, HIDDEN).double().streaming("int8")
    streaming = Recurrent(LSTM, INPUT, HIDDEN).streaming()
    with pytest.raises(ShapeError, match="x_t: expected"):
        streaming.step(torch.zeros(BATCH, INPUT + 1))
    _, state = streaming.step(torch.zeros(BATCH, INPUT))
    with pytest.raises(StateError, match="4 rows and the batch has 3"):
        streaming.step(torch.zeros(3, INPUT), state)
