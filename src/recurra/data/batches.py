"""Batches: streams of one text with carried state, and examples of similar length; and the one padder.

Each batch is a pure function of (seed, epoch, index), so a run can be resumed in the middle of an epoch.

B batch, T time, N tokens or examples, V vocabulary.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.contracts import Batch
from recurra.data.corpus import Split
from recurra.data.notes import NoteSequences
from recurra.data.rows import Rows
from recurra.errors import DataError, ShapeError

START = -1  # the input that stands for the zero vector with which a sequence starts
POOL = 64  # batches whose examples are sorted by length together

Indices = NDArray[np.int64]


class Batches(Sequence[Batch]):
    """Batches made when they are asked for.

    Attributes:
        tokens: the number of targets in all batches together.
    """

    tokens: int

    @overload
    def __getitem__(self, index: int) -> Batch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Batch]: ...
    def __getitem__(self, index: int | slice) -> Batch | list[Batch]:
        if isinstance(index, slice):
            return [self._batch(position) for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self._batch(index % len(self))

    @abstractmethod
    def _batch(self, index: int) -> Batch: ...


class StreamBatches(Batches):
    """One text as B streams side by side, in windows of `bptt` steps that carry the state on.

    Every token is a target once: stream b is the b-th of B contiguous parts, the first N mod B of which are
    one token longer. Inputs are the targets one step earlier; a stream starts with the zero vector. Only the
    last window may be shorter, or ragged.

    Args:
        ids: `[N]`.
        batch_size: B, at least 1.
        bptt: steps per window, at least 1.

    Raises:
        DataError: N is less than B x bptt.
    """

    def __init__(self, ids: Indices, batch_size: int, bptt: int) -> None:
        _check_at_least_1(batch_size=batch_size, bptt=bptt)
        self.tokens = len(ids)
        if self.tokens < batch_size * bptt:
            raise DataError(_too_short(self.tokens, batch_size, bptt))
        self._ids, self._bptt = ids, bptt
        rest = self.tokens % batch_size
        self._lengths = np.full(batch_size, self.tokens // batch_size)  # [B]
        self._lengths[:rest] += 1
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)[:-1]])  # [B]

    def __len__(self) -> int:
        return -(-int(self._lengths[0]) // self._bptt)

    def _batch(self, index: int) -> Batch:
        return _window(self._ids, self._starts, self._lengths, index, self._bptt)


class ExampleBatches(Batches):
    """Examples of similar length together; each comes once.

    A permutation keyed by (seed, epoch) is cut into pools, each sorted by length and cut into batches, which then
    come in a random order:

    ```python
    lengths = np.array([4, 1, 3])

    def collate(rows):
        return Batch(torch.zeros(len(rows), lengths[rows].max()), lengths=torch.from_numpy(lengths[rows]))

    batches = ExampleBatches([lengths], collate, batch_size=2)
    ```

    Args:
        sizes: the lengths of the examples `[N]` (int64), an array per side, such as targets and sources; examples
            are sorted by the first, then by the next.
        collate: makes the batch of the examples of the given numbers `[B]` (int64); with `window`, it is given the
            number of the window as well, from 0.
        batch_size: B, at least 1; the last batch may have fewer examples. Give either this or `batch_tokens`.
        batch_tokens: the maximum sum of the sizes of a batch, over all sides, at least 1; a single larger example
            makes a batch by itself.
        window: steps, at least 1: examples that are longer by their first size come in several batches, one after
            the other (truncated BPTT).
        seed, epoch: what the order depends on; without an epoch it is that of length, and nothing is drawn.

    Raises:
        DataError: there is no example.
        ShapeError: a number is below 1, the sides differ in their number of examples, or not exactly one of
            `batch_size` and `batch_tokens` is given.
    """

    def __init__(
        self,
        sizes: Sequence[Indices],
        collate: Callable[..., Batch],
        *,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        window: int | None = None,
        seed: int = 0,
        epoch: int | None = None,
    ) -> None:
        _check_at_least_1(batch_size=batch_size, batch_tokens=batch_tokens, window=window)
        if (batch_size is None) == (batch_tokens is None):
            raise ShapeError("batch_size, batch_tokens: expected exactly one of them.")
        counts = {len(side) for side in sizes}
        if len(counts) != 1:
            raise ShapeError(f"sizes: expected sides of as many examples each, got {sorted(counts)}.")
        if counts == {0}:
            raise no_batches()
        self._collate, self._window = collate, window
        self.tokens = int(sizes[0].sum())
        generator = None if epoch is None else np.random.default_rng((seed % 2**64, epoch))
        count, total = len(sizes[0]), np.sum(sizes, axis=0)  # [N]
        order = np.arange(count) if generator is None else generator.permutation(count)
        pools = np.zeros(count, np.int64)
        if generator is not None and batch_size is not None:
            pools = np.arange(count) // (batch_size * POOL)
        elif generator is not None and batch_tokens is not None:
            pools = np.cumsum(total[order]) // (batch_tokens * POOL)
        by_length = np.lexsort((*(side[order] for side in reversed(sizes)), pools))
        self._order, pools = order[by_length], pools[by_length]
        if batch_size is not None:
            starts = np.arange(0, count, batch_size)
            ends = np.minimum(starts + batch_size, count)
        else:
            assert batch_tokens is not None
            starts, ends = _cut(total[self._order], pools, batch_tokens)
        windows = np.ones(len(starts), np.int64)
        if window is not None:
            longest = np.maximum.reduceat(sizes[0][self._order], starts)
            windows = np.maximum(-(-longest // window), 1)
        permutation = np.arange(len(starts)) if generator is None else generator.permutation(len(starts))
        self._starts, self._ends = starts[permutation], ends[permutation]
        self._last_windows = np.cumsum(windows[permutation])

    def __len__(self) -> int:
        return int(self._last_windows[-1])

    def rows(self, index: int) -> Indices:
        """The numbers `[B]` (int64) of the examples in batch `index`, from 0."""
        return self._rows(self._group(index)[0])

    def _rows(self, group: int) -> Indices:
        return self._order[self._starts[group] : self._ends[group]]

    def _group(self, index: int) -> tuple[int, int]:
        """The group of examples that batch `index` is of, and which of its windows it is."""
        group = int(np.searchsorted(self._last_windows, index, side="right"))
        return group, index - (int(self._last_windows[group - 1]) if group else 0)

    def _batch(self, index: int) -> Batch:
        group, window = self._group(index)
        rows = self._rows(group)
        return self._collate(rows) if self._window is None else self._collate(rows, window)


def sequence_batches(
    values: NDArray[Any],
    offsets: Indices,
    batch_size: int,
    bptt: int,
    seed: int = 0,
    epoch: int | None = None,
) -> ExampleBatches:
    """Ragged sequences, each from the zero state; those longer than `bptt` in several windows.

    Inputs are the targets one step earlier, and start with the zero vector. The rows of a batch that continues
    another stay where they are; one that has ended has length 0. A sequence of length 0 is left out.

    Args:
        values: ids `[N]`, or note sets `[N, V]`, all sequences joined.
        offsets: `[L + 1]`: sequence i is `values[offsets[i] : offsets[i + 1]]`.
        batch_size: B, at least 1; the last batch of an epoch may have fewer rows.
        bptt: steps per window, at least 1.
        seed, epoch: as in `ExampleBatches`.

    Raises:
        DataError: there is no token.
    """
    _check_at_least_1(batch_size=batch_size, bptt=bptt)
    lengths = np.diff(offsets)
    used = np.flatnonzero(lengths)
    starts, lengths = offsets[:-1][used], lengths[used]

    def collate(rows: Indices, window: int) -> Batch:
        return _window(values, starts[rows], lengths[rows], window, bptt)

    return ExampleBatches([lengths], collate, batch_size=batch_size, window=bptt, seed=seed, epoch=epoch)


def training_batches(split: Split, batch_size: int, bptt: int, seed: int, epoch: int) -> Batches:
    """The batches of one epoch of training; a continuous text is the same in every epoch.

    Raises:
        DataError: a continuous text has fewer than batch_size x bptt tokens.
    """
    if isinstance(split, NoteSequences):
        return sequence_batches(*_joined(split), batch_size, bptt, seed, epoch)
    if split.offsets is None:
        return StreamBatches(split.ids, batch_size, bptt)
    return sequence_batches(split.ids, split.offsets, batch_size, bptt, seed, epoch)


def evaluation_batches(split: Split, streams: int, window: int = 512) -> Batches:
    """Every token of a split once, in a fixed order.

    Args:
        split: a text or note sequences.
        streams: rows per batch. A continuous text is cut into that many streams, each from the zero state, so
            1 scores it as one stream; fewer are used where a stream would be shorter than a window.
        window: steps per batch; the state is carried over, so it changes memory, not results.
    """
    if isinstance(split, NoteSequences):
        return sequence_batches(*_joined(split), streams, window)
    if split.offsets is not None:
        return sequence_batches(split.ids, split.offsets, streams, window)
    _check_at_least_1(streams=streams, window=window)
    streams = min(streams, max(1, split.tokens // window))
    return StreamBatches(split.ids, streams, min(window, max(1, split.tokens)))


def pad(rows: Rows, indices: Indices) -> tuple[Tensor, Tensor]:
    """The given rows `[B]` as ids `[B, T]` (int64), 0 past their ends, and their lengths `[B]` (int64)."""
    starts = rows.offsets[indices]
    lengths = rows.offsets[indices + 1] - starts
    steps = np.arange(lengths.max(initial=0))
    past = steps >= lengths[:, None]  # [B, T]
    positions = starts[:, None] + steps
    positions[past] = 0
    ids = rows.ids[positions]
    ids[past] = 0
    return torch.from_numpy(ids), torch.from_numpy(lengths)


def pad_sequences(sequences: Sequence[NDArray[Any] | Tensor]) -> tuple[Tensor, Tensor]:
    """Sequences of ids `[T]` each, padded as by `pad`: ids `[B, T]` and lengths `[B]` (int64), on the CPU."""
    rows = Rows.of([_as_ids(sequence) for sequence in sequences])
    return pad(rows, np.arange(len(rows)))


def no_batches() -> DataError:
    """The error of data without an example."""
    return DataError("the data yield no batches; expected at least one example that is not empty.")


def _as_ids(sequence: NDArray[Any] | Tensor) -> Indices:
    array = sequence.cpu().numpy() if isinstance(sequence, Tensor) else sequence
    return np.asarray(array, np.int64)


def _joined(split: NoteSequences) -> tuple[NDArray[np.uint8], Indices]:
    if not split.sequences:
        raise no_batches()
    return np.concatenate(split.sequences), np.cumsum([0, *map(len, split.sequences)])


def _window(values: NDArray[Any], starts: Indices, lengths: Indices, window: int, bptt: int) -> Batch:
    """Window number `window` of rows that begin at `starts` `[B]` and are `lengths` `[B]` long."""
    begin = window * bptt
    remaining = np.clip(lengths - begin, 0, bptt)  # [B]
    steps = int(remaining.max())
    positions = (starts + begin)[:, None] + np.arange(steps)  # [B, T]
    ragged = int(remaining.min()) < steps
    past = np.arange(steps) >= remaining[:, None] if ragged else None  # [B, T]
    if past is not None:
        positions[past] = 0
    nothing = START if values.ndim == 1 else 0
    inputs, targets = values[positions - 1], values[positions]
    if begin == 0:
        inputs[:, 0] = nothing
    if past is not None:
        inputs[past], targets[past] = nothing, 0
    return Batch(
        inputs=_tensor(inputs),
        targets=_tensor(targets),
        tokens=int(remaining.sum()),
        lengths=torch.from_numpy(remaining.astype(np.int64)) if ragged else None,
        continues=window > 0,
    )


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(values.astype(np.int64 if values.ndim == 2 else np.float32, copy=False))


def _cut(lengths: Indices, pools: Indices, most: int) -> tuple[Indices, Indices]:
    """Where batches start and end: as many neighbours of one pool as fit into `most`, at least one."""
    ends_at = np.cumsum(lengths)
    pool_ends = np.append(np.flatnonzero(np.diff(pools)) + 1, len(lengths))
    starts, ends, start = [], [], 0
    for pool_end in pool_ends.tolist():
        while start < pool_end:
            before = ends_at[start] - lengths[start]
            end = int(np.searchsorted(ends_at, before + most, side="right"))
            starts.append(start)
            start = min(max(end, start + 1), pool_end)
            ends.append(start)
    return np.array(starts, np.int64), np.array(ends, np.int64)


def _check_at_least_1(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < 1:
            raise ShapeError(f"{name}: expected at least 1, got {value}.")


def _too_short(tokens: int, batch_size: int, bptt: int) -> str:
    largest = tokens // bptt
    remedy = (
        f"The largest batch_size that fits is {largest}"
        if largest
        else f"No batch fits; with bptt {max(tokens, 1)} a batch_size of 1 does"
    )
    return (
        f"batch_size: the training text has {tokens} tokens, fewer than batch_size x bptt = "
        f"{batch_size} x {bptt}. {remedy}."
    )
