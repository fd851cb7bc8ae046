from __future__ import annotations

import itertools
import math
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from recurra.contracts import Batch
from recurra.data import batches as module
from recurra.data.batches import (
    POOL,
    ExampleBatches,
    StreamBatches,
    evaluation_batches,
    pad,
    pad_sequences,
    sequence_batches,
    training_batches,
)
from recurra.data.corpus import Tokens
from recurra.data.notes import NoteSequences
from recurra.data.rows import Rows
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
        sequence_batches(np.arange(9), np.array([0, 9]), 1, -1)


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
    batches = sequence_batches(ids, offsets, batch_size, bptt, seed, epoch=2 if shuffle else None)
    rows = rows_in_full(batches)
    expected = [ids[a:b].tolist() for a, b in itertools.pairwise(offsets) if b > a]
    assert sorted(targets for _, targets in rows) == expected
    assert all(inputs == [-1, *targets[:-1]] for inputs, targets in rows)
    assert sum(batch.tokens for batch in batches) == batches.tokens == len(ids)
    assert all(len(batch.targets) <= batch_size for batch in batches)
    check_shapes(batches, bptt)


def test_a_row_that_has_ended_keeps_its_place_with_length_zero():
    ids, offsets = make_lines([3, 7, 1])
    batches = sequence_batches(ids, offsets, batch_size=3, bptt=3)
    assert [sizes(batch) for batch in batches] == [[1, 3, 3], [0, 0, 3], [0, 0, 1]]
    assert [batch.continues for batch in batches] == [False, True, True]
    assert [batch.tokens for batch in batches] == [7, 3, 1]
    assert batches[0].inputs.tolist() == [[-1, -1, -1], [-1, 100, 101], [-1, 103, 104]]
    assert batches[1].inputs[2].tolist() == [105, 106, 107]


def test_line_batches_are_a_function_of_seed_epoch_and_index():
    ids, offsets = make_lines([1 + index * 7 % 13 for index in range(200)])

    def batches(seed, epoch):
        return sequence_batches(ids, offsets, 4, 8, seed, epoch)

    forwards = list(batches(3, 5))
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002  the global generator must not matter
    again = batches(3, 5)
    assert all(same(again[index], forwards[index]) for index in reversed(range(len(forwards))))
    for other in (batches(4, 5), batches(3, 6), batches(5, 3)):
        assert not all(same(a, b) for a, b in zip(other, forwards, strict=False))


def test_lines_of_similar_length_come_together_in_random_order():
    lengths = np.random.default_rng(1).integers(1, 50, 1000).tolist()
    batches = sequence_batches(*make_lines(lengths), batch_size=10, bptt=64, seed=1, epoch=0)
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
        batches = sequence_batches(ids, offsets, batch_size=2, bptt=400, seed=1, epoch=epoch)
        return {frozenset(batch.targets[:, 0].tolist()) for batch in batches}

    assert len(together(0)) == 200
    assert len(together(0) & together(1)) < 100


def test_note_batches_are_float_sets_shifted_by_one_step():
    generator = np.random.default_rng(3)
    sequences = [generator.integers(0, 2, (steps, 5)).astype(np.uint8) for steps in (4, 0, 9, 1)]
    batches = training_batches(NoteSequences(sequences), batch_size=2, bptt=3, seed=1, epoch=1)
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
    with pytest.raises(DataError, match="the data yield no batches; expected at least one example"):
        sequence_batches(np.arange(0), np.array([0, 0]), 1, 1)
    for notes in ([], [np.zeros((0, 3), np.uint8)]):
        with pytest.raises(DataError, match="yield no batches"):
            training_batches(NoteSequences(notes), 1, 1, 0, 0)
        with pytest.raises(DataError, match="yield no batches"):
            evaluation_batches(NoteSequences(notes), 1)


def test_a_batch_may_be_changed_without_changing_the_data():
    ids, offsets = make_lines([8, 8])
    for batches in (StreamBatches(ids, 2, 4), sequence_batches(ids, offsets, 2, 4, epoch=0)):
        first = batches[0].targets.clone()
        batches[0].targets.zero_()
        assert torch.equal(batches[0].targets, first)


def test_training_and_evaluation_batches_fit_the_split():
    ids, offsets = make_lines([5, 9, 2, 14])
    continuous, lines = Tokens(ids, None, 30), Tokens(ids, offsets, 30)
    notes = NoteSequences([np.ones((4, 3), np.uint8), np.ones((2, 3), np.uint8)])
    assert isinstance(training_batches(continuous, 2, 5, 1, 0), StreamBatches)
    assert isinstance(training_batches(lines, 2, 5, 1, 0), ExampleBatches)
    assert isinstance(training_batches(notes, 2, 5, 1, 0), ExampleBatches)
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


def orders(**options) -> list[list[int]]:
    """The numbers of the examples in each batch."""

    def collate(rows):
        return Batch(torch.from_numpy(rows))

    return [batch.inputs.tolist() for batch in ExampleBatches(collate=collate, **options)]


LENGTHS = np.array([1 + index * 7 % 13 for index in range(24)])
PAIR_LENGTHS = (
    np.array([2 + index * 7 % 6 for index in range(24)]),
    np.array([2 + index * 5 % 11 for index in range(24)]),
)

# The examples of each batch, as the batchers before ExampleBatches had them. Runs that are resumed in the middle of an
# epoch rely on these orders, so they may never change. The keys are POOL, (batch_tokens,) seed and epoch.
BY_NUMBER = {
    (64, 0, 0): "6 19 21, 15 4 17, 8 10 23, 5 20 7, 0 13 2, 3 16 18, 12 14 1, 22 9 11",
    (64, 3, 5): "16 3 18, 5 7 20, 15 4 17, 13 0 2, 9 22 11, 6 19 21, 8 10 23, 12 14 1",
    (64, -1, 2): "19 6 21, 8 23 10, 5 20 7, 12 14 1, 3 16 18, 13 0 15, 2 4 17, 9 22 11",
    (64, 0, None): "0 13 2, 15 4 17, 6 19 8, 21 10 23, 12 1 14, 3 16 5, 18 7 20, 9 22 11",
    (2, 0, 0): "6 8 23, 10 18 11, 3 20 22, 15 17 14, 2 4 21, 12 16 7, 0 13 19, 1 5 9",
    (2, 3, 5): "23 12 9, 15 19 1, 14 16 18, 6 21 8, 20 22 11, 13 2 10, 3 5 7, 0 4 17",
    (2, -1, 2): "13 15 10, 18 5 11, 0 2 6, 17 8 3, 7 9 22, 4 19 21, 23 12 20, 14 1 16",
}
BY_SIZE = {
    (64, 40, 0, 0): "20 14 8, 1 19 13, 2 9 3, 4 11 5, 0 18 12 6 7, 16 10, 21 15 22, 23 17",
    (64, 40, 3, 5): "16 10, 4 11 5, 1 19 13, 0 18 12 6 7, 23 17, 20 14 8, 2 9 3, 21 15 22",
    (64, 40, -1, 2): "20 14 8, 2 9 3, 4 11 5, 21 15 22, 16 10, 0 18 12 6 7, 1 19 13, 23 17",
    (64, 40, 0, None): "0 18 12 6 7, 1 19 13, 20 14 8, 2 9 3, 21 15 22, 16 10, 4 11 5, 23 17",
    (2, 20, 0, 0): "1 9, 13, 11, 23, 0 20, 14, 2, 10, 6 22, 15, 4, 16, 12 7, 3, 17, 18 21, 8, 19, 5",
    (2, 20, 3, 5): "14, 10, 22, 21, 0 3, 23, 7, 15, 17, 18 8, 19 20, 1, 2, 13, 6, 4, 12 9, 11, 5, 16",
    (2, 20, -1, 2): "2, 19, 10, 4, 0 6, 23, 17, 8, 5, 13, 18, 12, 20 21, 7 9, 3, 22 16, 11, 1 14, 15",
}


def parsed(order: str) -> list[list[int]]:
    return [[int(number) for number in batch.split()] for batch in order.split(",")]


@pytest.mark.parametrize("key", list(BY_NUMBER), ids=str)
def test_the_order_by_number_is_the_recorded_one(monkeypatch, key):
    pool, seed, epoch = key
    monkeypatch.setattr(module, "POOL", pool)
    assert orders(sizes=[LENGTHS], batch_size=3, seed=seed, epoch=epoch) == parsed(BY_NUMBER[key])
    # Lines of a text come in the same order, those of length 0 left out.
    lengths = np.insert(LENGTHS, 5, 0)
    numbers = np.delete(np.arange(25), 5)
    values = np.repeat(np.arange(25), lengths)
    lines = sequence_batches(values, np.cumsum([0, *lengths]), 3, 5, seed, epoch)
    firsts = [batch.targets[:, 0].tolist() for batch in lines if not batch.continues]
    assert firsts == [numbers[group].tolist() for group in parsed(BY_NUMBER[key])]


@pytest.mark.parametrize("key", list(BY_SIZE), ids=str)
def test_the_order_by_size_is_the_recorded_one(monkeypatch, key):
    pool, batch_tokens, seed, epoch = key
    monkeypatch.setattr(module, "POOL", pool)
    assert orders(sizes=PAIR_LENGTHS, batch_tokens=batch_tokens, seed=seed, epoch=epoch) == parsed(
        BY_SIZE[key]
    )


def test_the_example_in_the_docstring_runs():
    example = textwrap.dedent(ExampleBatches.__doc__.split("```python")[1].split("```")[0])
    names = {"np": np, "torch": torch, "Batch": Batch, "ExampleBatches": ExampleBatches}
    exec(example, names)  # noqa: S102  our own text
    assert [batch.lengths.tolist() for batch in names["batches"]] == [[1, 3], [4]]


def test_windows_are_asked_for_one_after_the_other():
    sizes = np.array([0, 7, 3, 0, 6, 2])
    asked: list[tuple[list[int], int]] = []

    def collate(rows, window):
        asked.append((rows.tolist(), window))
        return Batch(torch.from_numpy(rows), tokens=window, continues=window > 0)

    batches = ExampleBatches([sizes], collate, batch_size=2, window=3)
    assert len(list(batches)) == len(batches) == 1 + 1 + 3  # examples without a step are examples too
    assert asked == [([0, 3], 0), ([5, 2], 0), ([4, 1], 0), ([4, 1], 1), ([4, 1], 2)]
    assert [batches.rows(index).tolist() for index in range(5)] == [rows for rows, _ in asked]
    assert batches.tokens == 18
    assert (batches[3].tokens, batches[-1].tokens) == (1, 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ShapeError, "batch_size, batch_tokens: expected exactly one of them"),
        ({"batch_size": 1, "batch_tokens": 1}, ShapeError, "expected exactly one"),
        ({"batch_size": 0}, ShapeError, "batch_size: expected at least 1, got 0"),
        ({"batch_tokens": -2}, ShapeError, "batch_tokens: expected at least 1, got -2"),
        ({"batch_size": 1, "window": 0}, ShapeError, "window: expected at least 1, got 0"),
        (
            {"batch_size": 1, "sizes": [np.ones(3), np.ones(4)]},
            ShapeError,
            r"as many examples each, got \[3, 4\]",
        ),
        ({"batch_size": 1, "sizes": []}, ShapeError, "sizes: expected sides"),
        ({"batch_size": 1, "sizes": [np.ones(0)]}, DataError, "the data yield no batches"),
    ],
)
def test_what_makes_no_batches_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        orders(**{"sizes": [LENGTHS], **options})


def test_padded_rows_keep_their_order():
    rows = Rows(np.array([7, 8, 0, 0, 11, 0]), np.array([0, 3, 4, 6]))
    ids, lengths = pad(rows, np.array([2, 0, 1]))
    assert ids.tolist() == [[11, 0, 0], [7, 8, 0], [0, 0, 0]]
    assert lengths.tolist() == [2, 3, 1]
    ids, lengths = pad(rows, np.array([], np.int64))
    assert (ids.shape, lengths.shape) == ((0, 0), (0,))


def test_sequences_are_padded_whatever_they_are():
    sequences = [np.array([5, 6, 7], np.int32), torch.tensor([], dtype=torch.int64), torch.tensor([9, 1])]
    ids, lengths = pad_sequences(sequences)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 0], [9, 1, 0]]
    assert lengths.tolist() == [3, 0, 2]
    assert ids.dtype == lengths.dtype == torch.int64
    expected = torch.nn.utils.rnn.pad_sequence([torch.as_tensor(one) for one in sequences], batch_first=True)
    assert torch.equal(ids, expected)
    ids[0, 0] = 4  # of its own
    assert sequences[0][0] == 5
    assert pad_sequences([])[0].shape == (0, 0)
