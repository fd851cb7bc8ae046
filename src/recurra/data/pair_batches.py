"""Batches of pairs by number of tokens.

P pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurra.contracts import Batch
from recurra.data.batches import ExampleBatches, pad
from recurra.data.pair_split import Pairs
from recurra.data.rows import Rows


def pair_batches(pairs: Pairs, batch_tokens: int, seed: int = 0, epoch: int | None = None) -> ExampleBatches:
    """Every pair of a split once, pairs of similar length together.

    Args:
        pairs: the split.
        batch_tokens: the maximum number of source and target symbols of a batch, EOS counted and padding not.
        seed, epoch: of training: what the order depends on, and the subwords where the split draws them anew.
            Without an epoch, for evaluation, the order is fixed and nothing is drawn.
    """
    source, target = (pairs.source, pairs.target) if epoch is None else pairs.draw(seed, epoch)
    return row_pair_batches(source, target, batch_tokens, seed, epoch)


def row_pair_batches(
    source: Rows, target: Rows, batch_tokens: int, seed: int = 0, epoch: int | None = None
) -> ExampleBatches:
    """What `pair_batches` gives for P source rows and their P target rows, sorted by target, then source length."""

    def collate(rows: NDArray[np.int64]) -> Batch:
        inputs, lengths = pad(source, rows)
        targets, target_lengths = pad(target, rows)
        return Batch(inputs, targets, int(target_lengths.sum()), lengths, target_lengths)

    sizes = (target.lengths, source.lengths)
    return ExampleBatches(sizes, collate, batch_tokens=batch_tokens, seed=seed, epoch=epoch)
