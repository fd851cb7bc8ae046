from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recurra.data.pair_batches import pair_batches
from recurra.data.pairs import PairConfig, load_pairs
from recurra.data.subword_sampling import SubwordSampler
from recurra.data.subwords import Subwords

LINES = [
    "the cat sat on the mat",
    "the dog  sat on the log, and then",  # two spaces
    "a cat and a dog sang",
    "a",
    "then the mat sat on a dog and on the cat",
] * 40


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
    return Subwords.build("\n".join(LINES), size=40)


@pytest.mark.parametrize(("alpha", "at_least"), [(0.1, 60), (1.0, 10)])
def test_every_draw_spells_the_same_lines(subwords, alpha, at_least):
    stored = subwords.encode_lines(LINES)
    drawn = SubwordSampler(LINES, subwords, alpha, max_length=100).draw(3, 1, stored)
    assert [subwords.decode(row[:-1]) for row in drawn] == LINES
    assert all(row[-1] == 0 for row in drawn)
    divisions = {tuple(row.tolist()) for row in drawn}
    assert len(divisions) > at_least  # of five lines


def test_draws_are_a_function_of_seed_and_epoch(subwords):
    stored = subwords.encode_lines(LINES)

    def draw(seed: int, epoch: int, stream: int = 0) -> bytes:
        sampler = SubwordSampler(LINES, subwords, 0.3, 100, stream)
        sampler.draw(99, 7, stored)  # what was drawn before does not matter
        return sampler.draw(seed, epoch, stored).ids.tobytes()

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(1, 2), draw(1, 3), draw(2, 2), draw(1, 2, stream=1), draw(-1, 2)}) == 5


@pytest.mark.parametrize("alpha", [0.2, 0.5])
def test_divisions_come_as_often_as_they_are_probable(subwords, alpha):
    times = 4000
    lines = ["then"] * times
    rows = SubwordSampler(lines, subwords, alpha, 100).draw(5, 0, subwords.encode_lines(lines))
    counts = Counter(tuple(row[:-1].tolist()) for row in rows)
    divisions = subwords.candidates("then", 64)
    assert 2 < len(divisions) < 64  # all there are
    weights = np.exp(alpha * np.array([subwords.scores()[division].sum() for division in divisions]))
    for division, probability in zip(divisions, weights / weights.sum(), strict=True):
        error = np.sqrt(probability * (1 - probability) / times)
        assert abs(counts[tuple(division)] / times - probability) < 4.5 * error


def test_a_draw_beyond_the_longest_row_keeps_the_given_one(subwords):
    stored = subwords.encode_lines(LINES)
    longest = int(stored.lengths.max())
    drawn = SubwordSampler(LINES, subwords, 0.1, longest).draw(1, 1, stored)
    assert drawn.lengths.max() <= longest
    free = SubwordSampler(LINES, subwords, 0.1, 100).draw(1, 1, stored)
    assert free.lengths.max() > longest
    kept = [i for i, row in enumerate(free) if len(row) > longest]
    assert all(np.array_equal(drawn[i], stored[i]) for i in kept)
    assert all(np.array_equal(drawn[i], free[i]) for i in set(range(len(LINES))) - set(kept))


@pytest.mark.parametrize("joint", [False, True])
def test_batches_of_training_draw_anew_in_each_epoch(subwords, write, joint):
    lines = [f"{line.replace('  ', ' ')} {index}" for index, line in enumerate(LINES)]
    file = write("t.tsv", "\n".join(f"{line}\t{line}" for line in lines))
    config = PairConfig(
        train=[file],
        valid=[file],
        source_vocabulary="subwords",
        target_vocabulary="subwords",
        joint=joint,
        subword_size=60,
        subword_sampling=0.3,
    )
    corpus = load_pairs(config)

    def epoch(number: int, of=corpus) -> list[tuple[list[int], list[int]]]:
        return [
            (batch.inputs[row, :source].tolist(), batch.targets[row, :target].tolist())
            for batch in pair_batches(of.train, 300, seed=4, epoch=number)
            for row, (source, target) in enumerate(
                zip(batch.lengths.tolist(), batch.target_lengths.tolist(), strict=True)
            )
        ]

    first = epoch(1)
    assert first == epoch(1) == epoch(1, load_pairs(config, corpus.vocabularies))
    assert first != epoch(2)
    assert any(source != target for source, target in first)  # each side draws for itself
    side = corpus.vocabularies["target"]
    assert sorted(side.decode(target[:-1]) for _, target in first) == sorted(lines)
    assert len(corpus.valid.target.ids) < sum(len(target) for _, target in first)  # validation is not drawn


def test_a_side_of_words_is_left_as_it_is(subwords, write):
    file = write("t.tsv", "".join(f"{line}\t{line}\n" for line in LINES[:4]))
    config = PairConfig(
        train=[file], valid=[file], target_vocabulary="subwords", subword_size=40, subword_sampling=0.2
    )
    corpus = load_pairs(config)
    source, target = corpus.train.draw(1, 1)
    assert source is corpus.train.source
    assert not np.array_equal(target.ids, corpus.train.target.ids)
    assert corpus.valid.draw(1, 1) == (corpus.valid.source, corpus.valid.target)
