"""State: what it holds is found by name, whatever the order of the names, and a malformed one is refused."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import Recurrent, StateError
from recurra.cells import CELLS
from recurra.contracts import State


def lstm(**options) -> Recurrent:
    return cases.recurrent("lstm", 3, 5, num_layers=2, **options)


def other_order(state: State) -> State:
    """The same state, the names of each layer the other way round."""
    return State(
        tuple(
            tuple({name: states[name] for name in reversed(states)} for states in directions)
            for directions in state.layers
        )
    )


def assert_same(first: State, second: State) -> None:
    assert first.as_dict().keys() == second.as_dict().keys()
    for name, tensor in first.tensors():
        torch.testing.assert_close(second.as_dict()[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_loaded_state_continues_as_the_saved_one(tmp_path, bidirectional):
    rnn = lstm(bidirectional=bidirectional)
    state = cases.random_state(rnn, 4)
    x, lengths = torch.randn(4, 6, 3, dtype=torch.float64), torch.tensor([6, 0, 3, 1])
    state.save(tmp_path / "state")
    loaded = State.load(tmp_path / "state")
    expected, final = rnn(x, state, lengths)
    outputs, own_final = rnn(x, loaded, lengths)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0)
    assert_same(own_final, final)


def test_the_order_of_names_means_nothing():
    state = cases.random_state(lstm(bidirectional=True), 4)
    other = cases.random_state(lstm(bidirectional=True), 4)
    swapped, mask = other_order(state), torch.tensor([True, False, False, True])
    assert list(swapped.layers[0][0]) == ["c", "h"]
    assert_same(swapped, state)
    assert_same(state.where(mask, other_order(other)), state.where(mask, other))
    assert_same(swapped.where(mask, other), state.where(mask, other))
    rows = torch.tensor([2, 2, 0])
    assert_same(swapped.select(rows), state.select(rows))
    assert_same(swapped.map(torch.neg), state.map(torch.neg))
    assert_same(State.from_dict(dict(reversed(state.as_dict().items()))), state)
    lstm(bidirectional=True).check_state(swapped, 4)


def test_layers_may_have_different_states_and_what_runs_them_compares_the_names():
    """As they have in a stack whose cells differ."""
    mixed = {"layers.1.forward.h": torch.randn(4, 5).double()}
    mixed |= {f"layers.0.forward.{name}": torch.randn(4, 5).double() for name in ("c", "h")}
    state = State.from_dict(mixed)
    assert [sorted(layer[0]) for layer in state.layers] == [["c", "h"], ["h"]]
    assert_same(State.from_dict(state.as_dict()), state)
    with pytest.raises(StateError, match="it belongs to other layers"):
        lstm()(torch.randn(4, 6, 3).double(), state)


def test_where_takes_a_row_each():
    state = cases.random_state(lstm(), 4)
    for mask in (torch.tensor([True]), torch.ones(4, 1, dtype=torch.bool), torch.ones(3, dtype=torch.bool)):
        with pytest.raises(StateError, match=r"mask: expected \[4\], a row each"):
            state.where(mask, state)
    with pytest.raises(StateError, match="other: expected a State of the same layers"):
        state.where(torch.ones(4, dtype=torch.bool), State(state.layers[:1]))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "not numbered 0, 1, 2"),
        (["1.forward.h"], "not numbered 0, 1, 2"),
        (["0.forward.h", "2.forward.h"], "not numbered 0, 1, 2"),
        (["0.sideways.h"], "'layers.0.sideways.h' is not the name of a state"),
        (["0.forward"], "'layers.0.forward' is not the name of a state"),
        (["00.forward.h"], "'layers.00.forward.h' is not the name of a state"),
        (["\u00b2.forward.h"], "is not the name of a state"),
        (["0.forward.h.x"], "is not the name of a state"),
        (["0.backward.h"], "layer 0 has the directions backward; expected forward"),
        (
            ["0.forward.h", "1.forward.h", "1.backward.h"],
            "layer 1 has the directions backward, forward; expected",
        ),
        (["0.forward.h", "0.backward.h", "1.forward.h"], "layer 1 has the directions forward; expected"),
    ],
)
def test_what_is_no_state_is_refused(tmp_path, names, message):
    from safetensors.torch import save_file

    tensors = {f"layers.{name}": torch.randn(2, 3) for name in names}
    with pytest.raises(StateError, match=message):
        State.from_dict(tensors)
    save_file(tensors, tmp_path / "state")
    with pytest.raises(StateError, match=rf"state: .*{message}"):
        State.load(tmp_path / "state")


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_there_and_back(cell, bidirectional):
    rnn = Recurrent(CELLS[cell], 3, [5, 4], bidirectional=bidirectional)
    state = cases.random_state(rnn, 3)
    assert_same(State.from_dict(state.as_dict()), state)
