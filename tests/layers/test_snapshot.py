"""Streams and unrolled loops raise once their layers have changed, by whatever means."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import cases
from recurra import Cell, Recurrent, StateError
from recurra.cells import LSTM

INPUT, HIDDEN = 3, 5


class Leaky(Cell):
    gates = ("a",)
    leak = 0.5

    def step(self, affine, h):
        return self.leak * h + (1 - self.leak) * affine("a", h).tanh()


def train(rnn, optimiser, **options):
    steps = getattr(torch.optim, optimiser)(rnn.parameters(), lr=0.1, **options)
    rnn(torch.randn(2, 4, INPUT))[0].square().sum().backward()
    steps.step()


def assign(rnn):
    rnn.load_state_dict({name: value.clone() for name, value in rnn.state_dict().items()}, assign=True)


def replace_parameter(rnn):
    cell = rnn.cells[0][0]
    cell.hidden_weight = nn.Parameter(torch.randn_like(cell.hidden_weight))


def exchange_cell(rnn):
    rnn.cells[0][0] = copy.deepcopy(rnn.cells[0][0])


def change_attribute(rnn):
    rnn.cells[0][0].leak = 0.25


CHANGES = {
    "fused Adam": lambda rnn: train(rnn, "Adam", fused=True),
    "fused AdamW": lambda rnn: train(rnn, "AdamW", fused=True),
    "fused SGD": lambda rnn: train(rnn, "SGD", fused=True),
    "foreach SGD": lambda rnn: train(rnn, "SGD", foreach=True),
    "load_state_dict": lambda rnn: rnn.load_state_dict(rnn.state_dict()),
    "load_state_dict with assign": assign,
    "another parameter": replace_parameter,
    "another cell": exchange_cell,
    "an attribute of the cell": change_attribute,
    "pruning": lambda rnn: prune.l1_unstructured(rnn.cells[0][0], "hidden_weight", 0.5),
    "a parametrization": lambda rnn: parametrizations.weight_norm(rnn.cells[0][0], "hidden_weight"),
    "another type": lambda rnn: rnn.double().float(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("backend", ["auto", "reference", "textbook"])
@pytest.mark.parametrize("method", ["streaming", "unroll"])
def test_a_change_is_noticed(method, backend, change):
    rnn = Recurrent(Leaky, INPUT, HIDDEN, backend=backend)
    steps = getattr(rnn, method)()
    x = torch.randn(2, INPUT)
    steps.step(x)
    CHANGES[change](rnn)
    with pytest.raises(StateError, match=rf"have changed since .*; call {method}\(\) again"):
        steps.step(x)
    assert cases.difference(getattr(rnn, method)().step(x)[0], rnn(x[:, None])[0][:, 0]) < 1e-5


@pytest.mark.parametrize("method", ["streaming", "unroll"])
def test_what_leaves_the_layers_as_they_are_is_no_change(method):
    rnn = Recurrent(Leaky, INPUT, HIDDEN)
    other = Recurrent(Leaky, INPUT, HIDDEN)
    steps = getattr(rnn, method)()
    x = torch.randn(2, INPUT)
    first, _ = steps.step(x)
    train(other, "Adam", fused=True)
    rnn(torch.randn(2, 4, INPUT))[0].square().sum().backward()
    rnn.eval()
    copy.deepcopy(rnn)
    assert torch.equal(steps.step(x)[0], first)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("weight", ["input_weight", "hidden_weight"])
def test_a_change_between_an_unrolled_loop_and_its_backward_pass_is_refused(weight, backend):
    rnn = Recurrent(LSTM, INPUT, HIDDEN, backend=backend).double()
    steps, state, x = rnn.unroll(), None, torch.randn(2, INPUT, dtype=torch.float64, requires_grad=True)
    for _ in range(3):
        output, state = steps.step(x, state)
    with torch.no_grad():
        getattr(rnn.cells[0][0], weight).mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.square().sum().backward()


def test_a_layer_made_in_inference_mode_streams():
    with torch.inference_mode():
        rnn = cases.recurrent("lstm", INPUT, HIDDEN)
        x = torch.randn(2, 4, INPUT, dtype=torch.float64)
        expected = rnn(x)[0]
    stream, state = rnn.streaming(), None
    for t in range(4):
        output, state = stream.step(x[:, t], state)
    assert cases.difference(output, expected[:, -1]) < 1e-12
