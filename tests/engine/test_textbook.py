"""The loop as the course draws it agrees with the reference, and refuses what it does not do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

import cases
import random_cells
from recurra import BackendError, Recurrent, Regularisation
from recurra.cells import CELLS, LSTM

INPUT, HIDDEN, TIME = 3, 5, 6
LENGTHS = torch.tensor([4, 0, 6, 1])


def both(cell, hidden=HIDDEN, lengths=LENGTHS, **options):
    """Outputs, states and all gradients, on the reference and by the loop."""
    found = []
    for backend in ("reference", "textbook"):
        torch.manual_seed(5)
        rnn = Recurrent(cell, INPUT, hidden, backend=backend, **options).double()
        cases.randomise(rnn)
        rows = 4 if lengths is None else len(lengths)
        x = cases.leaf(torch.randn(rows, TIME, INPUT, dtype=torch.float64))
        start = cases.random_state(rnn, rows).map(cases.leaf)
        outputs, final = rnn(x, start, lengths)
        values = [outputs, *(value for _, value in final.tensors())]
        loss = sum((value * torch.randn_like(value)).sum() for value in values)
        leaves = [x, *rnn.parameters(), *(value for _, value in start.tensors())]
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        found.append([*values, *gradients])
    return found


def assert_agree(pair):
    for expected, found in zip(*pair, strict=True):
        assert cases.difference(found, expected) < 1e-12


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["even", "ragged"])
@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_equals_the_reference(cell, lengths):
    assert_agree(both(CELLS[cell], [4, 7], lengths, bidirectional=True, residual=False))


def test_equals_the_reference_with_everything():
    assert_agree(both(cases.Everything))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(random_cells.sources(), st.integers(3, 9))
def test_equals_the_reference_on_random_cells(source, hidden):
    assert_agree(both(random_cells.cell_of(source), hidden))


@pytest.mark.full
@settings(max_examples=200, deadline=None)
@given(random_cells.sources(), st.integers(3, 9))
def test_equals_the_reference_on_more_random_cells(source, hidden):
    assert_agree(both(random_cells.cell_of(source), hidden))


def test_it_calls_the_cell(monkeypatch):
    rnn = Recurrent(LSTM, INPUT, HIDDEN, backend="textbook")
    monkeypatch.setattr(LSTM, "forward", lambda *_: pytest.fail("called"))
    with pytest.raises(pytest.fail.Exception, match="called"):
        rnn(torch.zeros(1, 1, INPUT))


@pytest.mark.parametrize(
    ("options", "training", "reason"),
    [
        ({"regularisation": Regularisation(recurrent_dropout=0.1)}, True, "without recurrent_dropout"),
        ({"regularisation": Regularisation(zoneout=0.1)}, True, "without zoneout"),
        ({"regularisation": Regularisation(zoneout=0.1)}, False, "without zoneout"),
        ({"regularisation": Regularisation(weight_drop=0.1)}, True, "without weight_drop"),
        ({"chunk": 2}, True, "chunk= has no place"),
    ],
)
def test_what_it_refuses(options, training, reason):
    with pytest.raises(BackendError, match=f"backend 'textbook' cannot run .* {reason}"):
        Recurrent(LSTM, INPUT, HIDDEN, backend="textbook", **options).train(training)(
            torch.zeros(2, 4, INPUT)
        )


def test_gates_are_refused():
    rnn = Recurrent(LSTM, INPUT, HIDDEN, backend="textbook")
    with pytest.raises(
        BackendError, match=r"does not give out the gates. Use .* which runs it on 'reference'"
    ):
        rnn(torch.zeros(2, 4, INPUT), return_gates=True)
    with pytest.raises(BackendError, match="'textbook' cannot run with weights='int8'"):
        rnn.streaming("int8")


def test_dropout_inside_a_step_does_not_act_in_evaluation():
    dropped = Regularisation(recurrent_dropout=0.2, weight_drop=0.2)
    rnn = Recurrent(LSTM, INPUT, HIDDEN, regularisation=dropped).eval()
    x = torch.randn(2, 4, INPUT)
    expected = rnn(x)[0]
    rnn.backend = "textbook"
    assert cases.difference(rnn(x)[0], expected) < 1e-5


def test_autocast_keeps_the_type_of_the_states():
    rnn = Recurrent(LSTM, INPUT, HIDDEN, backend="textbook")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = rnn(torch.randn(2, 4, INPUT))
    assert outputs.dtype == torch.float32
    assert {value.dtype for _, value in state.tensors()} == {torch.float32}
