from __future__ import annotations

import numpy as np
import pytest

from recurra.data.pair_vocabularies import build_pair_vocabularies, decode_line, encode_line
from recurra.data.vocabularies import Vocabularies
from recurra.errors import DataError, ShapeError

SOURCE = ["ein kleines Haus", "das Haus ist klein", "ein Mann geht", "der Mann ist groß"] * 3
TARGET = ["a small house", "the house is small", "a man walks", "the man is tall"] * 3


def build(kinds: str, **options) -> Vocabularies:
    if "subwords" in kinds:
        pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
        options["subword_size"] = 60
    return build_pair_vocabularies(SOURCE, TARGET, tuple(kinds.split()), **options)


@pytest.mark.parametrize(
    ("kinds", "joint"),
    [
        ("words words", True),
        ("words subwords", False),
        ("characters characters", True),
        ("characters words", False),
        ("subwords subwords", False),
        ("subwords subwords", True),
    ],
)
def test_saved_and_loaded_they_are_the_same(kinds, joint, tmp_path):
    vocabularies = build(kinds, joint=joint)
    vocabularies.save(tmp_path)
    loaded = Vocabularies.load(tmp_path)
    assert loaded.joint("source", "target") == vocabularies.joint("source", "target") == joint
    assert loaded.digest == vocabularies.digest
    for line in (*SOURCE[:4], "", "☃ Haus"):
        for side in ("source", "target"):
            ids, _ = encode_line(vocabularies[side], line)
            assert np.array_equal(encode_line(loaded[side], line)[0], ids)
    target = vocabularies["target"]
    for line in TARGET[:4]:
        ids, cut = encode_line(target, line)
        assert ids[-1] == 0
        assert not cut
        assert decode_line(target, ids) == decode_line(target, ids[:-1]) == line
        assert decode_line(target, [*ids.tolist(), 2, 3]) == line


def test_joint_vocabularies_number_a_symbol_of_both_sides_once():
    lines = ["a b"], ["b c c"]
    joint = build_pair_vocabularies(*lines, ("words", "words"), joint=True)
    assert joint["source"] is joint["target"]
    assert joint["source"].symbols == ["<eos>", "<unk>", "b", "c", "a"]
    apart = build_pair_vocabularies(*lines, ("words", "words"))
    assert not apart.joint("source", "target")
    assert apart["source"].symbols == ["<eos>", "<unk>", "a", "b"]
    assert apart["target"].symbols == ["<eos>", "<unk>", "c", "b"]
    turned = Vocabularies({"source": apart["target"], "target": apart["source"]})
    assert len({joint.digest, apart.digest, turned.digest}) == 3


def test_options_reach_both_sides():
    lines = ["a a b b c"], ["x x y"]
    found = build_pair_vocabularies(*lines, ("words", "characters"), minimum_count=2, maximum_size=3)
    assert found["source"].symbols == ["<eos>", "<unk>", "a"]
    assert found["target"].symbols == ["<eos>", "<unk>", " "]
    with pytest.raises(DataError, match=r"no word that occurs at least 3 times. Lower --data\.minimum_count"):
        build_pair_vocabularies(*lines, ("words", "words"), minimum_count=3)


@pytest.mark.parametrize("kinds", ["words words", "characters words", "subwords words"])
def test_every_line_is_one_row_whatever_it_holds(kinds):
    vocabulary = build(kinds)["source"]
    lines = ["<eos> Haus <eos>", "", "<unk>", "Haus\u2028Mann\x0cein", "<eos>x", "  ", "\t"]
    rows = vocabulary.encode_lines(lines)
    assert len(rows) == len(lines)
    for row in rows:
        assert np.flatnonzero(row == 0).tolist() == [len(row) - 1]


def test_a_literal_eos_in_a_pair_is_a_word():
    vocabularies = build_pair_vocabularies(["a <eos> b", "<unk> a"], ["<eos>"], ("words", "words"))
    source, target = vocabularies["source"], vocabularies["target"]
    assert source.symbols == ["<eos>", "<unk>", "a", "<eos>", "b"]
    assert target.symbols == ["<eos>", "<unk>", "<eos>"]
    ids, _ = encode_line(source, "b <eos> <unk> c")
    assert ids.tolist() == [4, 3, 1, 1, 0]
    assert decode_line(source, ids) == "b <eos> <unk> <unk>"
    assert decode_line(target, [2, 2, 0, 2]) == "<eos> <eos>"


def test_a_long_line_is_cut_and_says_so():
    vocabularies = build("characters words")
    source, target = vocabularies["source"], vocabularies["target"]
    ids, cut = encode_line(source, " ein Haus ", max_length=4)
    assert cut
    assert source.decode(ids[:-1]) == "ein"
    assert ids[-1] == 0
    assert encode_line(source, "ein", max_length=4)[1] is False
    assert len(encode_line(target, "a man walks", max_length=3)[0]) == 3
    assert encode_line(source, "ein\nHaus")[0].tolist() == encode_line(source, "ein Haus")[0].tolist()


def test_an_id_that_there_is_not_is_refused():
    target = build("words words")["target"]
    assert decode_line(target, []) == ""
    with pytest.raises(ShapeError, match="ids: expected 0"):
        decode_line(target, [2, len(target)])
    assert decode_line(target, [2, 0, len(target)]) == target.symbols[2]  # what lies past EOS is not read
