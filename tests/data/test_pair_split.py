from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from recurra.data.pair_split import Pairs, encode_pairs
from recurra.data.pair_vocabularies import build_pair_vocabularies
from recurra.data.parallel import Lines
from recurra.data.subwords import Subwords
from recurra.data.vocabularies import Vocabularies
from recurra.data.vocabulary import Characters, Words
from recurra.errors import DataError

SIDES = [
    ("go", "va"),
    ("hi", "salut !"),
    ("", "rien"),
    ("hi", ""),
    ("hi", "salut"),
    ("now run", ""),
    ("hi", "salut !"),
    ("go away", "va"),
]


def make_lines(sides: list[tuple[str, str]]) -> Lines:
    return Lines([source for source, _ in sides], [target for _, target in sides], "digest", "some.tsv")


def split(sides=SIDES, max_length=100, **options) -> Pairs:
    lines = make_lines(sides)
    vocabularies = build_pair_vocabularies(lines.source, lines.target, ("words", "words"))
    return encode_pairs(lines, vocabularies, max_length, **options)


def test_pairs_of_two_sides_are_for_the_loss():
    pairs = split()
    source, target = pairs.vocabularies["source"], pairs.vocabularies["target"]
    assert pairs.used.tolist() == [0, 1, 4, 6, 7]
    assert [source.decode(row[:-1]) for row in pairs.source] == ["go", "hi", "hi", "hi", "go away"]
    assert [target.decode(row[:-1]) for row in pairs.target] == ["va", "salut !", "salut", "salut !", "va"]
    assert all(row[-1] == 0 for rows in (pairs.source, pairs.target, pairs.sources) for row in rows)
    assert (len(pairs), pairs.tokens) == (5, 2 + 3 + 2 + 3 + 2)
    assert dataclasses.astuple(pairs.counts) == (8, 3, 0, 0)


def test_each_source_is_decoded_once_and_has_all_its_references():
    pairs = split()
    source = pairs.vocabularies["source"]
    assert pairs.source_text == ["go", "hi", "", "now run", "go away"]
    assert [source.decode(row[:-1]) for row in pairs.sources] == pairs.source_text
    assert pairs.references == [["va"], ["salut !", "salut"], ["rien"], [""], ["va"]]


def test_long_lines_are_skipped_or_truncated():
    lines = make_lines([("a b c d", "x"), ("e", "x y z w v"), ("f", "x"), ("", "x y z w v")])
    vocabularies = Vocabularies({"source": Characters("ef", "eos"), "target": Words(["x", "y", "z", "w"])})
    pairs = encode_pairs(lines, vocabularies, max_length=4)
    assert dataclasses.astuple(pairs.counts) == (4, 1, 2, 0)
    assert pairs.used.tolist() == [2]
    assert pairs.sources.lengths.tolist() == [4, 2, 2, 1]  # the long one is decoded all the same
    assert pairs.references == [["x"], ["x y z w v"], ["x"], ["x y z w v"]]
    assert vocabularies["source"].decode(pairs.sources[1][:-1]) == "e"

    pairs = encode_pairs(lines, vocabularies, max_length=4, long_lines="truncate")
    assert dataclasses.astuple(pairs.counts) == (4, 1, 0, 2)
    assert pairs.source.lengths.tolist() == [4, 2, 2]
    assert pairs.target.lengths.tolist() == [2, 4, 2]
    assert pairs.target[1].tolist() == [2, 3, 4, 0]
    assert pairs.source_text[0] == "a b c d"


def test_lines_without_a_pair_are_refused():
    with pytest.raises(DataError, match=r"some\.tsv: no pair is left, 5 are longer than 1 symbols\. Raise"):
        split(max_length=1)
    with pytest.raises(DataError, match=r"some\.tsv: no line has both a source and a target"):
        encode_pairs(make_lines([("a", ""), ("", "b")]), split().vocabularies, 9)


def test_without_sampling_a_draw_gives_the_rows_themselves():
    pairs = split()
    assert pairs.draw(3, 1) == (pairs.source, pairs.target)
    pairs = split(sampling=0.5)  # words have no divisions to draw from
    assert pairs.draw(3, 1) == (pairs.source, pairs.target)


def test_a_draw_spells_the_pairs_that_are_used():
    pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
    sides = [(f"the cat {'sat ' * (i % 4)}on {i}", f"a dog {'ran ' * (i % 3)}{i}") for i in range(60)]
    sides[7] = ("", "nothing")  # the sampler divides the pairs of the loss, not all lines
    lines = make_lines(sides)
    both = Subwords.build("\n".join([*lines.source, *lines.target]), 50)
    vocabularies = Vocabularies({"source": both, "target": both})
    pairs = encode_pairs(lines, vocabularies, 100, sampling=0.2)
    drawn = pairs.draw(5, 2)
    for rows, own, text in zip(
        drawn, (pairs.source, pairs.target), (lines.source, lines.target), strict=True
    ):
        expected = [text[index].strip() for index in pairs.used]
        assert [both.decode(row[:-1]).strip() for row in rows] == expected
        assert not np.array_equal(rows.ids, own.ids)
    again = pairs.draw(5, 2)
    assert all(np.array_equal(one.ids, other.ids) for one, other in zip(drawn, again, strict=True))
    assert not np.array_equal(pairs.draw(5, 3)[0].ids, drawn[0].ids)
