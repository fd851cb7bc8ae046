from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from recurra.contracts import Batch
from recurra.data.batches import (
    POOL,
    LineBatches,
    NoteBatches,
    StreamBatches,
    evaluation_batches,
    training_batches,
)
from recurra.data.corpus import Tokens
from recurra.data.notes import NoteSequences
from recurra.errors import DataError, ShapeError


def sizes(batch: Batch) -> list[int]:
    """The length of every row."""
    rows, steps = batch.targets.shape[:2]
    return [steps] * rows if batch.lengths is None else batch.lengths.tolist()


def rows_in_full(batches) -> list[tuple[list, list]]:
    """Inputs and targets of every row, put together over the windows that continue it."""
    rows: list[tuple[list, list]] = []
    current: list[tuple[list, list]] = []
    for batch in batches:
        if not batch.continues:
            current = [([], []) for _ in range(len(batch.targets))]
            rows += current
        for row, size in enumerate(sizes(batch)):
            current[row][0].extend(batch.inputs[row, :size].tolist())
            current[row][1].extend(batch.targets[row, :size].tolist())
    return rows


def same(one: Batch, other: Batch) -> bool:
    lengths = (one.lengths is None) == (other.lengths is None)
    if lengths and one.lengths is not None:
        lengths = torch.equal(one.lengths, other.lengths)
    return (
        lengths
        and torch.equal(one.inputs, other.inputs)
        and torch.equal(one.targets, other.targets)
        and (one.tokens, one.continues) == (other.tokens, other.continues)
    )


def check_shapes(batches, bptt: int) -> None:
    for batch in batches:
        assert batch.inputs.shape == batch.targets.shape
        assert 1 <= batch.targets.shape[1] <= bptt
        assert batch.targets.shape[1] == max(sizes(batch))
        assert batch.tokens == sum(sizes(batch))
        assert batch.lengths is None or min(sizes(batch)) < max(sizes(batch))


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 60))
def test_streams_cover_every_token_once(batch_size, bptt, extra):
    ids = np.arange(batch_size * bptt + extra) + 100
    batches = StreamBatches(ids, batch_size, bptt)
    rows = rows_in_full(batches)
    assert [token for _, targets in rows for token in targets] == ids.tolist()
    assert len(rows) == batch_size
    assert all(inputs == [-1, *targets[:-1]] for inputs, targets in rows)
    assert max(len(targets) for _, targets in rows) - min(len(targets) for _, targets in rows) <= 1
    assert [batch.continues for batch in batches] == [False] + [True] * (len(batches) - 1)
    assert all(batch.lengths is None and batch.targets.shape[1] == bptt for batch in batches[:-1])
    assert sum(batch.tokens for batch in batches) == batches.tokens == len(ids)
    check_shapes(batches, bptt)


def test_the_last_window_of_streams_is_ragged():
    batches = StreamBatches(np.arange(14), batch_size=3, bptt=2)  # streams of 5, 5 and 4
    last = batches[2]
    assert len(batches) == 3
    assert last.lengths.tolist() == [1, 1, 0]
    assert last.tokens == 2
    assert last.inputs.tolist() == [[3], [8], [-1]]
    assert last.targets[:2].tolist() == [[4], [9]]
    assert (last.inputs.dtype, last.targets.dtype, last.lengths.dtype) == (torch.int64,) * 3


def test_a_text_too_short_names_the_largest_batch_that_fits():
    with pytest.raises(
        DataError, match=r"99 tokens, fewer than .* = 10 x 10\. The largest batch_size .* is 9\."
    ):
        StreamBatches(np.arange(99), 10, 10)
    assert StreamBatches(np.arange(99), 9, 10).tokens == 99
    with pytest.raises(DataError, match=r"No batch fits; with bptt 9 a batch_size of 1 does\."):
        StreamBatches(np.arange(9), 2, 10)
    with pytest.raises(ShapeError, match="batch_size: expected at least 1, got 0"):
        StreamBatches(np.arange(9), 0, 10)
    with pytest.raises(ShapeError, match="bptt: expected at least 1, got -1"):
        LineBatches(np.arange(9), np.array([0, 9]), 1, -1)


def test_batches_are_a_sequence():
    batches = StreamBatches(np.arange(50), 2, 4)
    assert same(batches[-1], batches[len(batches) - 1])
    assert [same(a, b) for a, b in zip(batches[1:3], (batches[1], batches[2]), strict=True)] == [True, True]
    assert len(list(batches)) == len(batches) == 7
    for index in (7, -8):
        with pytest.raises(IndexError, match=f"batch {index} of 7"):
            batches[index]


def make_lines(lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(sum(lengths)) + 100, np.cumsum([0, *lengths])


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 23), min_size=1, max_size=60).filter(any),
    st.integers(1, 5),
    st.integers(1, 30),
    st.integers(-3, 3),
    st.booleans(),
)
def test_lines_cover_every_token_once(lengths, batch_size, bptt, seed, shuffle):
    ids, offsets = make_lines(lengths)
    batches = LineBatches(ids, offsets, batch_size, bptt, seed, epoch=2, shuffle=shuffle)
    rows = rows_in_full(batches)
    expected = [ids[a:b].tolist() for a, b in itertools.pairwise(offsets) if b > a]
    assert sorted(targets for _, targets in rows) == expected
    assert all(inputs == [-1, *targets[:-1]] for inputs, targets in rows)
    assert sum(batch.tokens for batch in batches) == batches.tokens == len(ids)
    assert all(len(batch.targets) <= batch_size for batch in batches)
    check_shapes(batches, bptt)


def test_a_row_that_has_ended_keeps_its_place_with_length_zero():
    ids, offsets = make_lines([3, 7, 1])
    batches = LineBatches(ids, offsets, batch_size=3, bptt=3, shuffle=False)
    assert [sizes(batch) for batch in batches] == [[1, 3, 3], [0, 0, 3], [0, 0, 1]]
    assert [batch.continues for batch in batches] == [False, True, True]
    assert [batch.tokens for batch in batches] == [7, 3, 1]
    assert batches[0].inputs.tolist() == [[-1, -1, -1], [-1, 100, 101], [-1, 103, 104]]
    assert batches[1].inputs[2].tolist() == [105, 106, 107]


def test_line_batches_are_a_function_of_seed_epoch_and_index():
    ids, offsets = make_lines([1 + index * 7 % 13 for index in range(200)])

    def batches(seed, epoch):
        return LineBatches(ids, offsets, 4, 8, seed, epoch)

    forwards = list(batches(3, 5))
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002  the global generator must not matter
    again = batches(3, 5)
    assert all(same(again[index], forwards[index]) for index in reversed(range(len(forwards))))
    for other in (batches(4, 5), batches(3, 6), batches(5, 3)):
        assert not all(same(a, b) for a, b in zip(other, forwards, strict=False))


def test_lines_of_similar_length_come_together_in_random_order():
    lengths = np.random.default_rng(1).integers(1, 50, 1000).tolist()
    batches = LineBatches(*make_lines(lengths), batch_size=10, bptt=64, seed=1)
    padded = sum(math.prod(batch.targets.shape) for batch in batches)
    assert padded < 1.05 * sum(lengths)
    widths = [batch.targets.shape[1] for batch in batches]
    assert sorted(widths) != widths


def test_lines_are_sorted_by_length_within_pools_only():
    """All lengths differ: sorted as a whole, the same lines would share a batch in every epoch."""
    lengths = np.random.default_rng(4).permutation(np.arange(1, 401)).tolist()
    ids, offsets = make_lines(lengths)
    assert len(lengths) > 3 * POOL * 2

    def together(epoch: int) -> set[frozenset[int]]:
        batches = LineBatches(ids, offsets, batch_size=2, bptt=400, seed=1, epoch=epoch)
        return {frozenset(batch.targets[:, 0].tolist()) for batch in batches}

    assert len(together(0)) == 200
    assert len(together(0) & together(1)) < 100


def test_note_batches_are_float_sets_shifted_by_one_step():
    generator = np.random.default_rng(3)
    sequences = [generator.integers(0, 2, (steps, 5)).astype(np.uint8) for steps in (4, 0, 9, 1)]
    batches = NoteBatches(sequences, batch_size=2, bptt=3, seed=1, epoch=1)
    rows = rows_in_full(batches)
    assert sorted(targets for _, targets in rows) == sorted(s.tolist() for s in sequences if len(s))
    assert all(inputs == [[0.0] * 5, *targets[:-1]] for inputs, targets in rows)
    assert batches[0].inputs.dtype == batches[0].targets.dtype == torch.float32
    assert sum(batch.tokens for batch in batches) == batches.tokens == 14
    check_shapes(batches, 3)
    padded = next(batch for batch in batches if batch.lengths is not None)
    past = torch.arange(padded.inputs.shape[1]) >= padded.lengths[:, None]
    assert padded.inputs[past].abs().sum() == 0


def test_sequences_without_a_token_are_refused():
    with pytest.raises(DataError, match="no sequence"):
        LineBatches(np.arange(0), np.array([0, 0]), 1, 1)
    with pytest.raises(DataError, match="no note sequence"):
        NoteBatches([], 1, 1)


def test_a_batch_may_be_changed_without_changing_the_data():
    ids, offsets = make_lines([8, 8])
    for batches in (StreamBatches(ids, 2, 4), LineBatches(ids, offsets, 2, 4)):
        first = batches[0].targets.clone()
        batches[0].targets.zero_()
        assert torch.equal(batches[0].targets, first)


def test_training_and_evaluation_batches_fit_the_split():
    ids, offsets = make_lines([5, 9, 2, 14])
    continuous, lines = Tokens(ids, None, 30), Tokens(ids, offsets, 30)
    notes = NoteSequences([np.ones((4, 3), np.uint8), np.ones((2, 3), np.uint8)])
    assert isinstance(training_batches(continuous, 2, 5, 1, 0), StreamBatches)
    assert isinstance(training_batches(lines, 2, 5, 1, 0), LineBatches)
    assert isinstance(training_batches(notes, 2, 5, 1, 0), NoteBatches)
    for split in (continuous, lines, notes):
        for streams, window in ((1, 4), (3, 512), (40, 1)):
            batches = evaluation_batches(split, streams, window)
            assert sum(batch.tokens for batch in batches) == batches.tokens == split.tokens
            assert same(batches[0], evaluation_batches(split, streams, window)[0])


def test_one_stream_scores_the_text_as_it_runs():
    ids = np.arange(10)
    batches = evaluation_batches(Tokens(ids, None, 10), streams=1, window=4)
    assert rows_in_full(batches) == [([-1, *range(9)], list(range(10)))]
    short = evaluation_batches(Tokens(ids, None, 10), streams=8, window=512)
    assert len(short) == 1
    assert short[0].targets.shape == (1, 10)
