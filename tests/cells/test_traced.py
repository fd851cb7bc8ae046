"""One program per cell and mode, and programs that follow what the step reads of its cell."""

from __future__ import annotations

import copy

import pytest
import torch

import cases
from recurra import Cell, CellError, Recurrent
from recurra.cells import GRU, LSTM, Elman
from recurra.cells.traced import trace_in_mode


class Scaled(Cell):
    """Reads its width, its mode, a class attribute, and a list."""

    gates = ("a", "b")
    factor = 0.5

    def __init__(self, input_size, hidden_size):
        self.powers = [2.0]
        super().__init__(input_size, hidden_size)

    def step(self, affine, h):
        share = affine("b").sigmoid() / self.hidden_size
        new = (affine("a", h) * self.factor).tanh() ** self.powers[0]
        return new - share * h if self.training else new + share * h


def in_a_loop(rnn, x):
    """The outputs of a stack of one direction, by calling its cells."""
    for (cell,) in rnn.cells:
        h, outputs = x.new_zeros(len(x), cell.hidden_size), []
        for t in range(x.shape[1]):
            h = cell(x[:, t], h)
            outputs.append(h)
        x = torch.stack(outputs, 1)
    return x


def outputs(rnn, x):
    """By the call, and step by step."""
    stream, steps, state = rnn.unroll(), [], None
    for t in range(x.shape[1]):
        output, state = stream.step(x[:, t], state)
        steps.append(output)
    whole = rnn(x)[0]
    assert cases.difference(torch.stack(steps, 1), whole) < 1e-12
    return whole


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("backend", ["auto", "reference", "textbook"])
def test_every_layer_runs_its_own_program_in_each_mode(backend, training):
    rnn = Recurrent(Scaled, 3, [4, 7], backend=backend).double().train(training)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    assert cases.difference(outputs(rnn, x), in_a_loop(rnn, x)) < 1e-12
    other = copy.deepcopy(rnn).train(not training)
    assert cases.difference(other(x)[0], rnn(x)[0]) > 1e-3


def test_streams_evaluate_whatever_the_mode_of_the_layer():
    x = torch.randn(2, 3, dtype=torch.float64)
    for backend in ("auto", "reference", "textbook"):
        rnn = Recurrent(Scaled, 3, 4, backend=backend).double().train()
        found, _ = rnn.streaming().step(x)
        assert cases.difference(found, rnn.eval()(x[:, None])[0][:, 0]) < 1e-12


def set_attribute(cell):
    cell.factor = 0.25


def change_list(cell):
    cell.powers.append(1.0)
    cell.powers[0] = 3.0


def replace_step(cell):
    cell.step = lambda affine, h: (affine("a", h) + affine("b")).sigmoid()


@pytest.mark.parametrize("change", [set_attribute, change_list, replace_step])
@pytest.mark.parametrize("backend", ["auto", "reference", "textbook"])
def test_a_change_of_what_a_step_reads_is_seen(backend, change):
    rnn = Recurrent(Scaled, 3, 4, backend=backend).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    before = outputs(rnn, x)
    change(rnn.cells[0][0])
    after = outputs(rnn, x)
    assert cases.difference(before, after) > 1e-3
    assert cases.difference(after, in_a_loop(rnn, x)) < 1e-12


def test_a_change_of_the_class_is_seen(monkeypatch):
    rnn = Recurrent(Scaled, 3, 4).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    before = rnn(x)[0]
    monkeypatch.setattr(Scaled, "factor", 2.0)
    assert cases.difference(rnn(x)[0], before) > 1e-3
    assert cases.difference(rnn(x)[0], in_a_loop(rnn, x)) < 1e-12


@pytest.mark.parametrize("backend", ["auto", "reference", "textbook"])
def test_a_cell_may_be_exchanged_for_another_of_its_sizes(backend):
    rnn = Recurrent(GRU, 3, [4, 4], backend=backend).double()
    rnn.cells[0][0] = Scaled(3, 4).double()
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    assert cases.difference(outputs(rnn, x), in_a_loop(rnn, x)) < 1e-12
    rnn.cells[1][0] = Elman(3, 4).double()
    with pytest.raises(
        CellError, match=r"cells\[1\]\[0\]: expected .* input_size 4 .*, got Elman with 3 and 4"
    ):
        rnn(x)
    rnn.cells[1][0] = torch.nn.Linear(4, 4)
    with pytest.raises(CellError, match=r"cells\[1\]\[0\]: expected a cell .* got Linear"):
        rnn(x)


def test_modes_need_the_same_parameters():
    class Uneven(Cell):
        gates = ("a", "b")

        def step(self, affine, h):
            return affine("a", h).tanh() if self.training else (affine("a") + affine("b", h)).tanh()

    with pytest.raises(CellError, match=r"Uneven.*'b'|Uneven.step in evaluation uses the"):
        Uneven(3, 4)

    class Unlike(Cell):
        gates = ("a",)

        def step(self, affine, h):
            return affine("a", h).tanh() if self.training else affine("a").tanh() + h

    with pytest.raises(
        CellError, match=r"Unlike.step in evaluation uses the hidden gates none, and in training a;"
    ):
        Unlike(3, 4)


def test_a_change_that_needs_other_parameters_is_refused():
    class Switched(Cell):
        gates = ("a",)
        looks_back = True

        def step(self, affine, h):
            return affine("a", h).tanh() if self.looks_back else affine("a").tanh() + h

    rnn = Recurrent(Switched, 3, 4)
    rnn.cells[0][0].looks_back = False
    with pytest.raises(
        CellError, match=r"Switched.step now that self.looks_back has changed uses the hidden gates"
    ):
        rnn(torch.zeros(1, 2, 3))


def test_a_program_is_traced_again_only_after_a_change():
    cell = Scaled(3, 4)
    assert cell.program is cell.program
    assert cell.program_in(True) is not cell.program_in(False)
    assert LSTM(3, 4).program_in(True) is not LSTM(3, 4).program_in(True)
    lstm = LSTM(3, 4)
    assert lstm.program_in(True) is lstm.program_in(False)  # it does not ask for its mode
    assert cell.digest.count("/") == 1
    assert lstm.digest == lstm.program.digest


def test_tracing_leaves_the_cell_as_it_was():
    cell = Scaled(3, 4).eval()
    trace_in_mode(cell, True)
    assert type(cell) is Scaled
    assert not cell.training
    broken = Scaled(3, 4)
    broken.powers = None
    with pytest.raises((CellError, TypeError)):
        broken.program  # noqa: B018
    assert type(broken) is Scaled
    assert broken.training
