from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from recurra.data.batches import POOL
from recurra.data.pair_batches import pair_batches, row_pair_batches
from recurra.data.pairs import PairConfig, load_pairs
from recurra.data.rows import Rows
from recurra.errors import ShapeError


def make_rows(lengths: list[int], first: int) -> Rows:
    """Rows of which no two are alike and that hold no 0 but at their ends."""
    ids = np.arange(first, first + sum(lengths))
    offsets = np.cumsum([0, *lengths])
    ids[offsets[1:] - 1] = 0
    return Rows(ids, offsets)


def make_pairs(count: int, seed: int = 0) -> tuple[Rows, Rows]:
    draw = np.random.default_rng(seed)
    source = draw.integers(2, 30, count)
    target = np.maximum(2, source + draw.integers(-5, 6, count))
    return make_rows(source.tolist(), 1), make_rows(target.tolist(), 100_000)


def unpadded(batches) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return [
        (tuple(batch.inputs[row, :source].tolist()), tuple(batch.targets[row, :target].tolist()))
        for batch in batches
        for row, (source, target) in enumerate(
            zip(batch.lengths.tolist(), batch.target_lengths.tolist(), strict=True)
        )
    ]


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 70),
    batch_tokens=st.integers(1, 120),
    seed=st.integers(-3, 3),
    shuffle=st.booleans(),
)
def test_every_pair_comes_once_within_the_budget(count, batch_tokens, seed, shuffle):
    source, target = make_pairs(count, seed=5)
    batches = row_pair_batches(source, target, batch_tokens, seed, 2 if shuffle else None)
    pairs = [(tuple(s.tolist()), tuple(t.tolist())) for s, t in zip(source, target, strict=True)]
    assert sorted(unpadded(batches)) == sorted(pairs)
    assert batches.tokens == sum(batch.tokens for batch in batches) == len(target.ids)
    for number, batch in enumerate(batches):
        size = int(batch.lengths.sum() + batch.target_lengths.sum())
        assert size <= batch_tokens or len(batch.inputs) == 1
        assert batch.tokens == int(batch.target_lengths.sum())
        assert not batch.continues
        for ids, lengths in ((batch.inputs, batch.lengths), (batch.targets, batch.target_lengths)):
            assert ids.dtype == lengths.dtype == torch.int64
            assert ids.shape == (len(lengths), int(lengths.max()))
            assert not ids[torch.arange(ids.shape[1]) >= lengths[:, None]].any()
        assert [target[row].tolist() for row in batches.rows(number)] == [
            ids[:length].tolist() for ids, length in zip(batch.targets, batch.target_lengths, strict=True)
        ]


def test_batches_are_full():
    source, target = make_pairs(2000)
    batches = row_pair_batches(source, target, 400, seed=1, epoch=0)
    sizes = [int(batch.lengths.sum() + batch.target_lengths.sum()) for batch in batches]
    assert np.mean(sizes) > 0.9 * 400
    # Neighbours in length share a batch: little of it is padding, and in arbitrary order far more is.
    padding = 1 - sum(sizes) / sum(batch.inputs.numel() + batch.targets.numel() for batch in batches)
    assert padding < 0.15


def test_the_order_is_a_function_of_seed_and_epoch():
    pairs = make_pairs(300)

    def order(seed: int, epoch: int) -> list[tuple[int, ...]]:
        batches = row_pair_batches(*pairs, 100, seed, epoch)
        return [tuple(batches.rows(index).tolist()) for index in range(len(batches))]

    assert order(1, 2) == order(1, 2)
    orders = [order(1, 2), order(1, 3), order(2, 2), order(-1, 2)]
    assert len({tuple(one) for one in orders}) == 4
    # Not only the batches come in another order: others share one.
    assert {frozenset(rows) for rows in orders[0]} != {frozenset(rows) for rows in orders[1]}


def test_pairs_are_sorted_by_length_within_pools_only():
    """All lengths differ: sorted as a whole, the same pairs would share a batch in every epoch."""
    lengths = np.random.default_rng(4).permutation(np.arange(2, 402))
    rows = make_rows(lengths.tolist(), 1), make_rows(lengths.tolist(), 200_000)
    batch_tokens = 500
    assert 2 * lengths.sum() > 4 * POOL * batch_tokens

    def together(epoch: int) -> set[frozenset[int]]:
        batches = row_pair_batches(*rows, batch_tokens, seed=1, epoch=epoch)
        return {frozenset(batches.rows(index).tolist()) for index in range(len(batches))}

    shared = [group for group in together(0) & together(1) if len(group) > 1]
    assert len(shared) < 0.5 * len(together(0))
    # The shortest and the longest pairs are in every pool, and so in several batches each.
    for end in (np.argsort(lengths)[:12], np.argsort(lengths)[-12:]):
        assert sum(not group.isdisjoint(end.tolist()) for group in together(0)) >= 4


def test_an_epoch_does_not_run_from_short_to_long():
    source, target = make_pairs(3000)
    batches = row_pair_batches(source, target, 60, seed=3, epoch=0)
    assert len(batches) > 2 * POOL
    longest = np.array([batch.targets.shape[1] for batch in batches])
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.2


def test_evaluation_goes_from_short_to_long_and_slices_are_lists():
    source, target = make_pairs(100)
    batches = row_pair_batches(source, target, 80)
    lengths = [length for batch in batches for length in batch.target_lengths.tolist()]
    assert lengths == sorted(lengths)
    assert unpadded(batches[2:5]) == unpadded([batches[2], batches[3], batches[4]])
    assert torch.equal(batches[-1].targets, batches[len(batches) - 1].targets)
    with pytest.raises(IndexError, match=f"of {len(batches)}"):
        batches[len(batches)]


def test_a_budget_below_one_is_refused():
    with pytest.raises(ShapeError, match="batch_tokens: expected at least 1, got 0"):
        row_pair_batches(*make_pairs(3), 0)


def test_a_corpus_gives_training_and_evaluation_batches(write):
    file = write("t.tsv", "".join(f"{'a ' * (i % 7)}b{i}\tx{i} {'y ' * (i % 5)}\n" for i in range(60)))
    corpus = load_pairs(PairConfig(train=[file], valid=[file]))
    train, valid = pair_batches(corpus.train, 40, seed=1, epoch=0), pair_batches(corpus.valid, 40)
    assert sorted(unpadded(train)) == sorted(unpadded(valid))
    assert unpadded(train) != unpadded(pair_batches(corpus.train, 40, seed=1, epoch=1))
    assert unpadded(valid) == unpadded(pair_batches(corpus.valid, 40))
