"""Tests of the tests: what must turn the comparison with the oracle red, and does.

Each mutation changes the path under test behind the back of the oracle: gates exchanged, a bias dropped,
h and c exchanged, lengths ignored, a direction not reversed, a state not passed on.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

import cases
import grid
import oracle
from recurra.engine import BACKENDS, chunks
from recurra.layers import recurrent as recurrent_module

VISIBLE = 1e-3  # nine orders of magnitude above the tolerance of the grid
LSTMS = [cell for cell in cases.ALL_CELLS if oracle.STATES[cell] == ("h", "c")]
ON_BACKENDS = [(cell, "reference") for cell in cases.ALL_CELLS] + [
    (cell, "vendor") for cell in cases.VENDOR_CELLS
]


def ragged_case(cell: str, backend: str = "reference", bidirectional: bool = False) -> grid.Case:
    return grid.Case(cell, 1, bidirectional, True, True, False, backend, torch.float64)


def worst(case: grid.Case, rnn) -> float:
    return max(grid.differences(case, rnn).values())


def change_program(rnn, **changes) -> None:
    """What the cell traced to and what the layers run, changed together."""
    own = rnn.cells[0][0]
    own.program = replace(own.program, **changes)
    rnn._programs = dict.fromkeys(rnn._programs, own.program)


@pytest.mark.parametrize("cell", [cell for cell in cases.ALL_CELLS if len(oracle.GATES[cell]) > 1])
def test_two_gates_exchanged(cell):
    gates = oracle.GATES[cell]
    for one, other in itertools.combinations(gates, 2):
        rnn = ragged_case(cell).build()
        exchange = {one: other, other: one}
        change_program(rnn, gates=tuple(exchange.get(gate, gate) for gate in gates))
        assert worst(ragged_case(cell), rnn) > VISIBLE, (one, other)


@pytest.mark.parametrize("parameter", ["input_weight", "hidden_weight", "bias", "hidden_bias"])
@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_rows_of_one_gate_dropped(cell, backend, parameter, monkeypatch):
    """For a bias: the bias of one gate left out."""
    case = ragged_case(cell, backend)
    for gate in oracle.GATES[cell]:
        rnn = case.build()
        own = rnn.cells[0][0]
        if getattr(own, parameter) is None:
            continue
        tensors = own.named_tensors()
        first = oracle.GATES[cell].index(gate) * own.hidden_size
        kept = torch.ones_like(tensors[parameter])
        kept[first : first + own.hidden_size] = 0.0
        tensors[parameter] = tensors[parameter] * kept
        monkeypatch.setattr(own, "named_tensors", lambda tensors=tensors: tensors)
        assert worst(case, rnn) > VISIBLE, gate


@pytest.mark.parametrize("cell", ["peephole_lstm", "course_peephole_lstm", "layer_norm_lstm", "ind_rnn"])
def test_vector_or_norm_dropped(cell, monkeypatch):
    names = [name for name, _ in ragged_case(cell).build().cells[0][0].named_parameters()]
    for name in names:
        if not name.startswith(("vector_", "norm_")):
            continue
        rnn = ragged_case(cell).build()
        own = rnn.cells[0][0]
        tensors = own.named_tensors()
        tensors[name] = tensors[name] * 0 + float(name.endswith("_gain"))
        monkeypatch.setattr(own, "named_tensors", lambda tensors=tensors: tensors)
        assert worst(ragged_case(cell), rnn) > VISIBLE, name


@pytest.mark.parametrize("cell", LSTMS)
def test_h_and_c_exchanged_on_the_way_in(cell):
    rnn = ragged_case(cell).build()
    change_program(rnn, states=rnn.program.states[::-1])
    assert worst(ragged_case(cell), rnn) > VISIBLE


@pytest.mark.parametrize("cell", LSTMS)
def test_h_and_c_exchanged_on_the_way_out(cell):
    rnn = ragged_case(cell).build()
    change_program(rnn, outputs=rnn.program.outputs[::-1])
    assert worst(ragged_case(cell), rnn) > VISIBLE


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_lengths_ignored(cell, backend, monkeypatch):
    run = BACKENDS[backend].run
    monkeypatch.setattr(BACKENDS[backend], "run", lambda call: run(replace(call, lengths=None)))
    case = ragged_case(cell, backend)
    assert worst(case, case.build()) > VISIBLE


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_initial_state_not_passed_on(cell, backend, monkeypatch):
    run = BACKENDS[backend].run

    def forgetful(call):
        return run(replace(call, states=tuple(torch.zeros_like(state) for state in call.states)))

    monkeypatch.setattr(BACKENDS[backend], "run", forgetful)
    case = ragged_case(cell, backend)
    assert worst(case, case.build()) > VISIBLE


@pytest.mark.parametrize(
    "wrong", [lambda x, lengths: x, lambda x, lengths: x.flip(1)], ids=["not", "padding_first"]
)
@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_backward_direction_not_reversed_within_the_row(cell, wrong, monkeypatch):
    monkeypatch.setattr(recurrent_module, "reverse", wrong)
    case = ragged_case(cell, bidirectional=True)
    assert worst(case, case.build()) > VISIBLE


def test_state_not_carried_between_chunks(monkeypatch):
    """Chunks that all start from the first state."""
    run_piece = chunks._run_piece

    def from_the_start(run, call, piece, states, lengths):
        return run_piece(run, call, piece, call.states, lengths)

    monkeypatch.setattr(chunks, "_run_piece", from_the_start)
    case = replace(ragged_case("lstm"), chunked=True)
    assert worst(case, case.build()) > VISIBLE


def test_unchanged_code_is_green():
    """The comparison that the mutations turn red."""
    for cell, backend in ON_BACKENDS:
        case = ragged_case(cell, backend, bidirectional=True)
        assert worst(case, case.build()) < grid.TOLERANCE[case.dtype]
