"""Batches over a text or over sequences, each a pure function of (seed, epoch, index).

B batch, T time (at most `bptt`), N tokens, L lines, V vocabulary.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.contracts import Batch
from recurra.data.corpus import Split
from recurra.data.notes import NoteSequences
from recurra.errors import DataError, ShapeError

START = -1  # the input that stands for the zero vector with which a sequence starts
POOL = 64  # batches whose lines are sorted by length together


AnyBatch = TypeVar("AnyBatch")


class Batches(Sequence[AnyBatch]):
    """Batches made when they are asked for.

    Attributes:
        tokens: the number of targets in all batches together.
    """

    tokens: int

    @overload
    def __getitem__(self, index: int) -> AnyBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnyBatch]: ...
    def __getitem__(self, index: int | slice) -> AnyBatch | list[AnyBatch]:
        if isinstance(index, slice):
            return [self._batch(position) for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self._batch(index % len(self))

    @abstractmethod
    def _batch(self, index: int) -> AnyBatch: ...


class StreamBatches(Batches[Batch]):
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

    def __init__(self, ids: NDArray[np.int64], batch_size: int, bptt: int) -> None:
        _check_sizes(batch_size, bptt)
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


class SequenceBatches(Batches[Batch]):
    """Ragged sequences, each from the zero state; those longer than `bptt` in several windows.

    Sequences of similar length come together: a permutation keyed by (seed, epoch) is cut into pools, each
    sorted by length and cut into batches, which then come in a random order. The rows of a batch that goes on
    stay where they are; one that has ended has length 0. A sequence of length 0 is left out.

    Args:
        values: ids `[N]`, or note sets `[N, V]`, all sequences joined.
        offsets: `[L + 1]`: sequence i is `values[offsets[i] : offsets[i + 1]]`.
        batch_size: B, at least 1; the last batch of an epoch may have fewer rows.
        bptt: steps per window, at least 1.
        seed, epoch: what the order depends on.
        shuffle: False: all sequences in order of length.

    Raises:
        DataError: there is no token.
    """

    def __init__(
        self,
        values: NDArray[Any],
        offsets: NDArray[np.int64],
        batch_size: int,
        bptt: int,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> None:
        _check_sizes(batch_size, bptt)
        lengths = np.diff(offsets)
        order = np.flatnonzero(lengths)
        if not len(order):
            raise DataError(
                "there is no sequence to make batches of; expected at least one that is not empty."
            )
        generator = np.random.default_rng((seed % 2**64, epoch)) if shuffle else None
        if generator is None:
            order = order[np.argsort(lengths[order], kind="stable")]
        else:
            order = generator.permutation(order)
            pools = np.arange(len(order)) // (batch_size * POOL)
            order = order[np.lexsort((lengths[order], pools))]
        self.tokens = int(lengths.sum())
        self._values, self._bptt = values, bptt
        self._starts, self._lengths = offsets[:-1][order], lengths[order]
        firsts = np.arange(0, len(order), batch_size)
        windows = -(-np.maximum.reduceat(self._lengths, firsts) // bptt)
        permutation = np.arange(len(firsts)) if generator is None else generator.permutation(len(firsts))
        self._batch_size, self._firsts = batch_size, firsts[permutation]
        self._ends = np.cumsum(windows[permutation])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _batch(self, index: int) -> Batch:
        group = int(np.searchsorted(self._ends, index, side="right"))
        window = index - (int(self._ends[group - 1]) if group else 0)
        rows = slice(int(self._firsts[group]), int(self._firsts[group]) + self._batch_size)
        return _window(self._values, self._starts[rows], self._lengths[rows], window, self._bptt)


class LineBatches(SequenceBatches):
    """The lines of a text: `SequenceBatches` over ids `[N]`; inputs start with the zero vector, -1."""


class NoteBatches(SequenceBatches):
    """Sequences of note sets: `SequenceBatches` whose inputs and targets are float `[B, T, V]`.

    Args:
        sequences: note sets `[T, V]` (0 or 1).
        batch_size, bptt, seed, epoch, shuffle: as in `SequenceBatches`.
    """

    def __init__(
        self,
        sequences: Sequence[NDArray[np.uint8]],
        batch_size: int,
        bptt: int,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> None:
        if not sequences:
            raise DataError("there is no note sequence to make batches of; expected at least one.")
        offsets = np.cumsum([0, *map(len, sequences)])
        super().__init__(np.concatenate(sequences), offsets, batch_size, bptt, seed, epoch, shuffle)


def training_batches(split: Split, batch_size: int, bptt: int, seed: int, epoch: int) -> Batches[Batch]:
    """The batches of one epoch of training; a continuous text is the same in every epoch.

    Raises:
        DataError: a continuous text has fewer than batch_size x bptt tokens.
    """
    if isinstance(split, NoteSequences):
        return NoteBatches(split.sequences, batch_size, bptt, seed, epoch)
    if split.offsets is None:
        return StreamBatches(split.ids, batch_size, bptt)
    return LineBatches(split.ids, split.offsets, batch_size, bptt, seed, epoch)


def evaluation_batches(split: Split, streams: int, window: int = 512) -> Batches[Batch]:
    """Every token of a split once, in a fixed order.

    Args:
        split: a text or note sequences.
        streams: rows per batch. A continuous text is cut into that many streams, each from the zero state, so
            1 scores it as one stream; fewer are used where a stream would be shorter than a window.
        window: steps per batch; the state is carried over, so it changes memory, not results.
    """
    if isinstance(split, NoteSequences):
        return NoteBatches(split.sequences, streams, window, shuffle=False)
    if split.offsets is not None:
        return LineBatches(split.ids, split.offsets, streams, window, shuffle=False)
    _check_sizes(streams, window)
    streams = min(streams, max(1, split.tokens // window))
    return StreamBatches(split.ids, streams, min(window, max(1, split.tokens)))


def _window(
    values: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[np.int64], window: int, bptt: int
) -> Batch:
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


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.int64 if values.ndim == 2 else np.float32, copy=False))


def _check_sizes(batch_size: int, bptt: int) -> None:
    for name, value in (("batch_size", batch_size), ("bptt", bptt)):
        if value < 1:
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
