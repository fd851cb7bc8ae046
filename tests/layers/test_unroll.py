"""Unrolling: one step at a time, with the gradients of the whole."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import BackendError, ConfigError, Recurrent, Regularisation, ShapeError, StateError
from recurra.cells import LSTM
from recurra.engine.cpu import build

BACKENDS = ("reference", *(("cpu",) if build.compiler() else ()))
INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6


def step_by_step(rnn, x, state=None):
    unrolled, outputs = rnn.unroll(), []
    for t in range(x.shape[1]):
        output, state = unrolled.step(x[:, t], state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def gradients(rnn, x, start, outputs, final):
    torch.manual_seed(5)
    values = [outputs, *(value for _, value in final.tensors())]
    loss = sum((value * torch.randn_like(value)).sum() for value in values)
    return torch.autograd.grad(loss, [x, *(value for _, value in start.tensors()), *rnn.parameters()])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cell", ["gru", "gru_reset_after", "layer_norm_lstm", "peephole_lstm"])
def test_step_by_step_equals_the_whole(cell, backend):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, backend=backend)
    x = cases.leaf(torch.randn(BATCH, TIME, INPUT, dtype=torch.float64))
    start = cases.random_state(rnn, BATCH).map(cases.leaf)
    expected = rnn(x, start)
    found = step_by_step(rnn, x, start)
    assert cases.difference(found[0], expected[0]) < 1e-12
    pairs = zip(gradients(rnn, x, start, *found), gradients(rnn, x, start, *expected), strict=True)
    assert all(cases.difference(ours, theirs) < 1e-12 for ours, theirs in pairs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_hold_for_all_steps(backend):
    """At every step the same outputs are zero."""
    options = Regularisation(0.4, recurrent_dropout=0.4, output_dropout=0.4, weight_drop=0.3)
    rnn = cases.recurrent("gru", INPUT, 12, num_layers=2, backend=backend, regularisation=options).train()
    x = torch.ones(BATCH, TIME, INPUT, dtype=torch.float64)
    outputs, _ = step_by_step(rnn, x)
    zero = outputs == 0
    assert zero.any()
    assert torch.equal(zero, zero[:, :1].expand_as(zero))
    assert not torch.equal(outputs, step_by_step(rnn, x)[0])
    unrolled = rnn.unroll()
    unrolled.step(x[:, 0])
    with pytest.raises(
        ShapeError, match=r"expected 4 rows, as at the first step, .* got 3; call unroll\(\) again"
    ):
        unrolled.step(x[:3, 0])


@pytest.mark.skipif("cpu" not in BACKENDS, reason="there is no C++ compiler here")
def test_masks_and_dropped_weights_are_the_references():
    options = Regularisation(0.4, recurrent_dropout=0.4, output_dropout=0.4, zoneout=0.3, weight_drop=0.3)
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    layers = [
        cases.recurrent("peephole_lstm", INPUT, 12, backend=one, regularisation=options) for one in BACKENDS
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    found = []
    for rnn in layers:
        torch.manual_seed(3)
        outputs, _ = step_by_step(rnn.train(), x)
        found.append([outputs, *torch.autograd.grad(outputs.square().sum(), list(rnn.parameters()))])
    assert all(cases.difference(a, b) < 1e-12 for a, b in zip(*found, strict=True))
    assert (found[0][2] == 0).any(), "dropped weights have no gradient"


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_a_step_gives_may_be_the_next_ones_input(backend):
    rnn = cases.recurrent("lstm", HIDDEN, HIDDEN, backend=backend)
    slow = cases.recurrent("lstm", HIDDEN, HIDDEN, backend="reference")
    slow.load_state_dict(rnn.state_dict())
    x = torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    found = []
    for layers in (rnn, slow):
        unrolled, fed, state = layers.unroll(), x, None
        for _ in range(4):
            fed, state = unrolled.step(torch.tanh(fed), state)
        found.append(torch.autograd.grad(fed.square().sum(), list(layers.parameters())))
    assert all(cases.difference(a, b) < 1e-12 for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_some_things_do_not_spoil_those_of_others(backend):
    """First by the input alone, then by everything, over the same graph, and rows that come and go."""
    rnn = cases.recurrent("gru", INPUT, HIDDEN, backend=backend)
    x = cases.leaf(torch.randn(BATCH, TIME, INPUT, dtype=torch.float64))
    outputs, _ = step_by_step(rnn, x)
    expected = torch.autograd.grad(rnn(x)[0].sum(), [x, *rnn.parameters()])
    (by_input,) = torch.autograd.grad(outputs.sum(), x, retain_graph=True)
    again = torch.autograd.grad(outputs.sum(), [x, *rnn.parameters()], retain_graph=True)
    once_more = torch.autograd.grad(outputs.sum(), [x, *rnn.parameters()])
    assert cases.difference(by_input, expected[0]) < 1e-12
    for found in (again, once_more):
        assert all(cases.difference(a, b) < 1e-12 for a, b in zip(found, expected, strict=True))
    unrolled, rows = rnn.unroll(), torch.tensor([2, 0, 2])
    _, state = unrolled.step(x[:, 0])
    output, _ = unrolled.step(x[rows, 1], state.select(rows))
    found = torch.autograd.grad(output.sum(), list(rnn.parameters()))
    expected = torch.autograd.grad(rnn(x[rows, :2])[0][:, 1].sum(), list(rnn.parameters()))
    assert all(cases.difference(a, b) < 1e-12 for a, b in zip(found, expected, strict=True))


def test_what_cannot_be_unrolled():
    with pytest.raises(ConfigError, match=r"unroll: .* needs the whole sequence"):
        Recurrent(LSTM, INPUT, HIDDEN, bidirectional=True).unroll()
    rnn = Recurrent(LSTM, INPUT, HIDDEN)
    unrolled = rnn.unroll()
    with pytest.raises(ShapeError, match="x_t: expected"):
        unrolled.step(torch.zeros(BATCH, INPUT + 1))
    _, state = unrolled.step(torch.zeros(BATCH, INPUT))
    with pytest.raises(StateError, match="4 rows and the batch has 3"):
        unrolled.step(torch.zeros(3, INPUT), state)
    cases.randomise(rnn)
    with pytest.raises(StateError, match=r"parameters have changed .* call unroll\(\) again"):
        unrolled.step(torch.zeros(BATCH, INPUT), state)


@pytest.mark.skipif("cpu" not in BACKENDS, reason="there is no C++ compiler here")
def test_second_derivatives_are_refused():
    rnn = cases.recurrent("gru", INPUT, HIDDEN, backend="cpu")
    x = cases.leaf(torch.randn(BATCH, INPUT, dtype=torch.float64))
    output, _ = rnn.unroll().step(x)
    with pytest.raises(BackendError, match="use backend='reference'"):
        torch.autograd.grad(output.sum(), x, create_graph=True)
