"""State: what it holds is found by name, and a malformed one is refused. Batch: its mask, and its shares."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import Recurrent, ShapeError, StateError
from recurra.cells import CELLS
from recurra.contracts import Batch, State


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


# -------------------------------------------------------------------- Batch


def ragged_pairs() -> Batch:
    """Three pairs, a length of zero on both sides."""
    return Batch(
        inputs=torch.arange(12).reshape(3, 4),
        targets=torch.arange(100, 115).reshape(3, 5),
        tokens=7,
        lengths=torch.tensor([4, 0, 2]),
        target_lengths=torch.tensor([2, 5, 0]),
    )


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    given = batch.inputs if isinstance(batch.inputs, dict) else {"inputs": batch.inputs}
    rest = {name: getattr(batch, name) for name in ("targets", "lengths", "target_lengths")}
    return given | {name: tensor for name, tensor in rest.items() if tensor is not None}


def test_the_mask_is_of_the_targets_own_steps():
    mask = ragged_pairs().present()
    assert mask.tolist() == [[True, True, False, False, False], [True] * 5, [False] * 5]
    assert mask.dtype == torch.bool
    tags = Batch(torch.zeros(2, 3), torch.zeros(2, 3), 4, torch.tensor([3, 1]))
    assert tags.present().tolist() == [[True] * 3, [True, False, False]]
    sets = Batch(torch.zeros(2, 3, 88), torch.zeros(2, 3, 88), 4, torch.tensor([1, 3]))
    assert sets.present().tolist() == [[True, False, False], [True] * 3]
    assert Batch(torch.zeros(2, 3), torch.zeros(2, 3), 6).present() is None


def test_where_a_target_is_no_sequence_the_mask_is_of_the_inputs():
    classes = Batch(torch.zeros(2, 4, 7), torch.tensor([5, 1]), 2, torch.tensor([0, 3]))
    assert classes.present().tolist() == [[False] * 4, [True, True, True, False]]
    used = Batch(torch.zeros(2, 4), lengths=torch.tensor([4, 1]))
    assert used.present().tolist() == [[True] * 4, [True, False, False, False]]


def test_inputs_by_name_have_no_common_mask():
    inputs = {"words": torch.zeros(2, 4), "characters": torch.zeros(2, 9)}
    with pytest.raises(ShapeError, match="present: several inputs by name"):
        Batch(inputs, torch.tensor([0, 1]), 2, torch.tensor([4, 2])).present()
    tags = Batch(inputs, torch.zeros(2, 4), 5, torch.tensor([4, 1]))  # of the targets, there is one
    assert tags.present().sum(1).tolist() == [4, 1]
    assert len(tags) == 2


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shares_are_every_row_once_and_their_tokens_add_up(world):
    pairs = ragged_pairs()
    inputs = {"words": torch.randn(7, 4), "characters": torch.randn(7, 9)}
    lengths = torch.tensor([4, 0, 3, 1, 1, 2, 4])
    batches = [
        (pairs, 7),
        (Batch(torch.randn(7, 4), torch.randn(7, 4), 28, continues=True), 28),
        (Batch(torch.randn(7, 4), torch.randn(7, 4, 3), 15, lengths), 15),
        (Batch(torch.randn(7, 4), torch.arange(7), 7, lengths), 7),
        (Batch(inputs, torch.arange(7), 7, lengths), 7),
        (Batch(torch.randn(7, 4), lengths=lengths), 0),
    ]
    for batch, tokens in batches:
        shares = [batch.shard(rank, world) for rank in range(world)]
        assert sum(share.tokens for share in shares) == tokens
        assert [len(share) for share in shares] == [
            len(range(rank, len(batch), world)) for rank in range(world)
        ]
        assert all(share.continues == batch.continues for share in shares)
        for name, whole in tensors(batch).items():
            for rank, share in enumerate(shares):
                assert torch.equal(tensors(share)[name], whole[rank::world])


@pytest.mark.parametrize("rank", [-1, 2])
def test_a_share_that_there_is_not_is_refused(rank):
    with pytest.raises(ShapeError, match=f"rank: expected 0 to 1, got {rank}"):
        ragged_pairs().shard(rank, 2)


def test_a_batch_moves_as_a_whole():
    device = torch.device("meta")
    inputs = {"words": torch.randn(3, 4), "characters": torch.randn(3, 9)}
    for batch in (ragged_pairs(), Batch(inputs, torch.arange(3), 3, continues=True)):
        moved = batch.to(device)
        assert {name: tensor.device.type for name, tensor in tensors(moved).items()} == dict.fromkeys(
            tensors(batch), "meta"
        )
        assert (moved.tokens, moved.continues, len(moved)) == (batch.tokens, batch.continues, 3)
    same = ragged_pairs().to(torch.device("cpu"))
    assert all(torch.equal(tensor, tensors(ragged_pairs())[name]) for name, tensor in tensors(same).items())


def test_rows_without_inputs():
    rows = Batch.of_rows(5)
    assert (len(rows), rows.inputs.shape, rows.inputs.dtype) == (5, (5, 0), torch.int64)
    assert (rows.targets, rows.lengths, rows.tokens, rows.continues) == (None, None, 0, False)
    assert Batch.of_rows(2, "meta").inputs.device.type == "meta"


def test_states_and_batches_show_their_shapes():
    state = lstm(bidirectional=True).zero_state(2)
    assert repr(state) == "State(2 layers in two directions: h [2, 5] float64, c [2, 5] float64)"
    uneven = Recurrent("elman", 3, [4, 5]).zero_state(1)
    assert repr(uneven) == "State(layers.0.forward.h [1, 4] float32; layers.1.forward.h [1, 5] float32)"
    assert repr(Recurrent("elman", 3, 4).zero_state(1)) == "State(1 layer: h [1, 4] float32)"
    ids = torch.zeros(2, 3, dtype=torch.int64)
    assert repr(Batch(ids, tokens=6)) == "Batch(inputs=[2, 3] int64, tokens=6, continues=False)"
    several = Batch({"words": ids, "frames": torch.zeros(2, 3, 4)}, lengths=torch.tensor([3, 1]))
    assert repr(several) == (
        "Batch(inputs={'words': '[2, 3] int64', 'frames': '[2, 3, 4] float32'}, tokens=0, lengths=[2] int64, "
        "continues=False)"
    )
