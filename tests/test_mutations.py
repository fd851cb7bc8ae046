"""Tests of the tests: what must turn the comparison with the oracle red, and does.

Each mutation changes what a backend is given or what it returns, behind the back of the oracle: gates exchanged,
a bias dropped, h and c exchanged, lengths ignored, a direction not reversed, a state not passed on, a gradient
cut off. So every mutation runs on every backend. `mutants.py` changes the sources themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

import cases
import grid
import oracle
from recurra.cells import CELLS
from recurra.cells.program import Program
from recurra.engine import BACKENDS, chunks
from recurra.engine.backend import Call, Result
from recurra.layers import recurrent as recurrent_module

VISIBLE = 1e-3  # nine orders of magnitude above the tolerance of the grid
ON_BACKENDS = [
    (cell, backend)
    for cell in cases.ALL_CELLS
    for backend in grid.BACKENDS
    if backend != "vendor" or cell in cases.VENDOR_CELLS
]
WITH_ROWS = ("input_weight", "hidden_weight", "bias", "hidden_bias")


def ragged_case(cell: str, backend: str, bidirectional: bool = False) -> grid.Case:
    return grid.Case(cell, 1, bidirectional, True, True, False, backend, torch.float64)


def worst(case: grid.Case) -> float:
    return max(grid.differences(case, case.build()).values())


def unchanged(value):
    return value


def worst_when(
    case: grid.Case,
    call: Callable[[Call], Call] = unchanged,
    result: Callable[[Result], Result] = unchanged,
) -> float:
    """The worst difference from the oracle while the case's backend is given other calls or returns other results.

    This is the one place at which the layers are changed; it is between them and the backend.
    """
    backend, calls = BACKENDS[case.backend], 0
    run = backend.run

    def changed(original: Call) -> Result:
        nonlocal calls
        calls += 1
        return result(run(call(original)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "run", changed)
        found = worst(case)
    assert calls, f"{case.backend} has not run"
    return found


def gates_with_rows(program: Program, parameter: str) -> tuple[str, ...]:
    """The gates in the order of the parameter's rows."""
    if parameter == "hidden_bias":
        return program.hidden_bias_gates
    return program.hidden_gates if parameter == "hidden_weight" else program.input_gates


def parameters_of(cells, names: Callable[[str], bool]) -> list[tuple[str, str, str]]:
    """Cell, backend and parameter, wherever that cell has that parameter."""
    return [
        (cell, backend, name)
        for cell, backend in cells
        for name, _ in CELLS[cell](1, 1).named_parameters()
        if names(name)
    ]


def with_rows(call: Call, order: Callable[[tuple[str, ...]], list[str | None]]) -> Call:
    """The call with other rows in its parameters: for each gate those of the gate that `order` names, or zeros."""
    parameters = dict(call.parameters)
    for name in parameters.keys() & set(WITH_ROWS):
        gates = gates_with_rows(call.program, name)
        blocks = dict(zip(gates, parameters[name].chunk(len(gates)), strict=True))
        parameters[name] = torch.cat(
            [torch.zeros_like(blocks[gates[0]]) if gate is None else blocks[gate] for gate in order(gates)]
        )
    return replace(call, parameters=parameters)


def _exchange(gates: tuple[str, ...], one: str, other: str) -> list[str | None]:
    """Two gates in each other's place; as it is where one of them has no rows."""
    places = {one: other, other: one} if {one, other} <= set(gates) else {}
    return [places.get(gate, gate) for gate in gates]


def test_unchanged_code_is_green():
    """The comparison that the mutations turn red."""
    for cell, backend in ON_BACKENDS:
        case = ragged_case(cell, backend, bidirectional=True)
        assert worst_when(case) < grid.TOLERANCE[case.dtype], case


@pytest.mark.parametrize(
    ("cell", "backend"), [(cell, backend) for cell, backend in ON_BACKENDS if len(oracle.GATES[cell]) > 1]
)
def test_two_gates_exchanged(cell, backend):
    def exchanged(call: Call, one: str, other: str) -> Call:
        return with_rows(call, lambda gates: _exchange(gates, one, other))

    for pair in itertools.combinations(oracle.GATES[cell], 2):
        assert (
            worst_when(ragged_case(cell, backend), partial(exchanged, one=pair[0], other=pair[1])) > VISIBLE
        ), pair


@pytest.mark.parametrize(
    ("cell", "backend", "parameter"), parameters_of(ON_BACKENDS, lambda name: name in WITH_ROWS)
)
def test_rows_of_one_gate_dropped(cell, backend, parameter):
    """For a bias: the bias of one gate left out."""

    def without(call: Call, dropped: str) -> Call:
        changed = with_rows(call, lambda gates: [None if gate == dropped else gate for gate in gates])
        return replace(call, parameters={**call.parameters, parameter: changed.parameters[parameter]})

    gates = gates_with_rows(CELLS[cell](1, 1).program, parameter)
    assert gates
    for gate in gates:
        assert worst_when(ragged_case(cell, backend), partial(without, dropped=gate)) > VISIBLE, gate


@pytest.mark.parametrize(
    ("cell", "backend", "parameter"),
    parameters_of(ON_BACKENDS, lambda name: name.startswith(("vector_", "norm_"))),
)
def test_vector_or_norm_dropped(cell, backend, parameter):
    def without(call: Call) -> Call:
        nothing = call.parameters[parameter] * 0 + float(parameter.endswith("_gain"))
        return replace(call, parameters={**call.parameters, parameter: nothing})

    assert worst_when(ragged_case(cell, backend), without) > VISIBLE


def test_every_kind_of_parameter_is_dropped():
    """What the two tests above go through is all that cells have."""
    gone_through = parameters_of(ON_BACKENDS, lambda name: name.startswith(("vector_", "norm_", *WITH_ROWS)))
    assert gone_through == parameters_of(ON_BACKENDS, lambda name: True)


TWO_STATES = [(cell, backend) for cell, backend in ON_BACKENDS if oracle.STATES[cell][:2] == ("h", "c")]


def first_two_exchanged(states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (states[1], states[0], *states[2:])


@pytest.mark.parametrize(("cell", "backend"), TWO_STATES)
def test_h_and_c_exchanged_on_the_way_in(cell, backend):
    def exchanged(call: Call) -> Call:
        return replace(call, states=first_two_exchanged(call.states))

    assert worst_when(ragged_case(cell, backend), exchanged) > VISIBLE


@pytest.mark.parametrize(("cell", "backend"), TWO_STATES)
def test_h_and_c_exchanged_on_the_way_out(cell, backend):
    def exchanged(result: Result) -> Result:
        return replace(result, states=first_two_exchanged(result.states))

    assert worst_when(ragged_case(cell, backend), result=exchanged) > VISIBLE


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_lengths_ignored(cell, backend):
    assert worst_when(ragged_case(cell, backend), lambda call: replace(call, lengths=None)) > VISIBLE


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_initial_state_not_passed_on(cell, backend):
    def forgetful(call: Call) -> Call:
        return replace(call, states=tuple(torch.zeros_like(state) for state in call.states))

    assert worst_when(ragged_case(cell, backend), forgetful) > VISIBLE


@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_gradients_cut_off(cell, backend):
    """The same numbers, but no gradient of one of the things that they depend on."""

    def without(call: Call, name: str) -> Call:
        if name == "x":
            return replace(call, x=call.x.detach())
        if name == "states":
            return replace(call, states=tuple(state.detach() for state in call.states))
        return replace(call, parameters={**call.parameters, name: call.parameters[name].detach()})

    names = [name for name, _ in CELLS[cell](1, 1).named_parameters()]
    assert "input_weight" in names
    for name in ("x", "states", *names):
        assert worst_when(ragged_case(cell, backend), partial(without, name=name)) > VISIBLE, name


@pytest.mark.parametrize(
    "wrong", [lambda x, lengths: x, lambda x, lengths: x.flip(1)], ids=["not", "padding_first"]
)
@pytest.mark.parametrize(("cell", "backend"), ON_BACKENDS)
def test_backward_direction_not_reversed_within_the_row(cell, backend, wrong, monkeypatch):
    monkeypatch.setattr(recurrent_module, "reverse", wrong)
    assert worst(ragged_case(cell, backend, bidirectional=True)) > VISIBLE


@pytest.mark.parametrize("backend", grid.BACKENDS)
def test_state_not_carried_between_chunks(backend, monkeypatch):
    """Chunks that all start from the first state."""
    run_piece = chunks._run_piece

    def from_the_start(run, call, piece, states, lengths, check_unchanged):
        return run_piece(run, call, piece, call.states, lengths, check_unchanged)

    monkeypatch.setattr(chunks, "_run_piece", from_the_start)
    assert worst(replace(ragged_case("lstm", backend), chunked=True)) > VISIBLE
