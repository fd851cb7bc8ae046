"""Batches of pairs by number of tokens, each a pure function of (seed, epoch, index).

B batch, P pairs, Tx source length, Ty target length.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.contracts import PairBatch
from recurra.data.batches import POOL, Batches
from recurra.data.pair_split import Pairs
from recurra.data.pairs import PairCorpus
from recurra.data.rows import Rows
from recurra.errors import ShapeError


class PairBatches(Batches[PairBatch]):
    """Pairs of similar length together, as many as fit into a number of tokens.

    A permutation keyed by (seed, epoch) is cut into pools, each sorted by target, then source length and cut
    into batches, which then come in a random order. Every pair comes once.

    Args:
        source, target: P rows each, EOS last.
        batch_tokens: the most source and target symbols of a batch, EOS counted and padding not, at least 1; a
            single longer pair makes a batch by itself.
        seed, epoch: what the order depends on.
        shuffle: False: all pairs in order of length.
    """

    def __init__(
        self,
        source: Rows,
        target: Rows,
        batch_tokens: int,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> None:
        if batch_tokens < 1:
            raise ShapeError(f"batch_tokens: expected at least 1, got {batch_tokens}.")
        self._source, self._target = source, target
        self.tokens = len(target.ids)
        both = source.lengths + target.lengths
        generator = np.random.default_rng((seed % 2**64, epoch)) if shuffle else None
        order = np.arange(len(source)) if generator is None else generator.permutation(len(source))
        pools = np.zeros(len(order), np.int64)
        if generator is not None:
            pools = np.cumsum(both[order]) // (batch_tokens * POOL)
        by_length = np.lexsort((source.lengths[order], target.lengths[order], pools))
        self._order, pools = order[by_length], pools[by_length]
        self._starts, self._ends = _cut(both[self._order], pools, batch_tokens)
        if generator is not None:
            permutation = generator.permutation(len(self._starts))
            self._starts, self._ends = self._starts[permutation], self._ends[permutation]

    def __len__(self) -> int:
        return len(self._starts)

    def rows(self, index: int) -> NDArray[np.int64]:
        """The numbers `[B]` (int64) of the pairs in batch `index`."""
        return self._order[self._starts[index] : self._ends[index]]

    def _batch(self, index: int) -> PairBatch:
        rows = self.rows(index)
        source, source_lengths = padded(self._source, rows)
        target, target_lengths = padded(self._target, rows)
        return PairBatch(source, source_lengths, target, target_lengths, int(target_lengths.sum()))


def pair_batches(corpus: PairCorpus, batch_tokens: int, seed: int, epoch: int) -> PairBatches:
    """The batches of one epoch of training, their subwords drawn anew where the corpus says so."""
    source, target = corpus.draw(seed, epoch)
    return PairBatches(source, target, batch_tokens, seed, epoch)


def evaluation_pair_batches(pairs: Pairs, batch_tokens: int) -> PairBatches:
    """Every pair of a split once, in a fixed order."""
    return PairBatches(pairs.source, pairs.target, batch_tokens, shuffle=False)


def padded(rows: Rows, indices: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
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


def _cut(
    lengths: NDArray[np.int64], pools: NDArray[np.int64], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
