"""Sequences in pieces: what is computed with again must not have been changed in between."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import Recurrent, StateError
from recurra.cells import LSTM
from recurra.engine import cpu


def changed(rnn, x, what):
    """A forward pass, a change in place, and the backward pass."""
    state = cases.random_state(rnn, len(x))
    outputs, _ = rnn(x, state)
    with torch.no_grad():
        {
            "input_weight": lambda: rnn.cells[0][0].input_weight.mul_(2),
            "hidden_weight": lambda: rnn.cells[0][0].hidden_weight.mul_(2),
            "bias": lambda: rnn.cells[0][0].bias.add_(1),
            "x": lambda: x.add_(1),
            "h": lambda: state.layers[0][0]["h"].add_(1),
        }[what]()
    outputs.square().sum().backward()


@pytest.mark.parametrize("what", ["input_weight", "hidden_weight", "bias", "x", "h"])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_a_change_in_place_before_the_backward_pass_is_refused(backend, what):
    rnn = Recurrent(LSTM, 3, 5, chunk=2, backend=backend).double()
    with pytest.raises(StateError, match=f"chunk: {what} has been changed in place"):
        changed(rnn, torch.randn(2, 6, 3, dtype=torch.float64), what)


@pytest.mark.skipif(cpu.build.compiler() is None, reason="there is no C++ compiler here")
def test_also_where_pieces_begin_by_themselves(monkeypatch):
    monkeypatch.setattr(cpu, "KEEP_BYTES", 100)
    rnn = Recurrent(LSTM, 3, 5, backend="cpu").double()
    with pytest.raises(StateError, match="hidden_weight has been changed in place"):
        changed(rnn, torch.randn(2, 6, 3, dtype=torch.float64), "hidden_weight")


def test_an_optimiser_between_two_passes_is_no_change():
    rnn = Recurrent(LSTM, 3, 5, chunk=2)
    optimiser = torch.optim.SGD(rnn.parameters(), 0.1)
    for _ in range(2):
        before = rnn.cells[0][0].bias.detach().clone()
        rnn(torch.randn(2, 6, 3))[0].square().sum().backward()
        optimiser.step()
        assert not torch.equal(rnn.cells[0][0].bias, before)
