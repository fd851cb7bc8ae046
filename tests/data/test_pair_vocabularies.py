from __future__ import annotations

import json

import numpy as np
import pytest

from recurra.data.notes import Notes
from recurra.data.pair_vocabularies import Vocabularies, encode_lines
from recurra.data.vocabulary import Characters, Vocabulary, Words
from recurra.errors import DataError, RunError

SOURCE = ["ein kleines Haus", "das Haus ist klein", "ein Mann geht", "der Mann ist groß"] * 3
TARGET = ["a small house", "the house is small", "a man walks", "the man is tall"] * 3


def build(kinds: str, **options) -> Vocabularies:
    if "subwords" in kinds:
        pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
        options["subword_size"] = 60
    return Vocabularies.build(SOURCE, TARGET, tuple(kinds.split()), **options)


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
    assert loaded.joint == vocabularies.joint == joint
    assert loaded.digest == vocabularies.digest
    names = ["joint"] if joint else ["source", "target"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}_vocabulary" for name in names]
    for line in (*SOURCE[:4], "", "☃ Haus"):
        assert np.array_equal(loaded.encode_source(line)[0], vocabularies.encode_source(line)[0])
        assert np.array_equal(loaded.encode_target(line)[0], vocabularies.encode_target(line)[0])
    for line in TARGET[:4]:
        ids, cut = vocabularies.encode_target(line)
        assert ids[-1] == 0
        assert not cut
        assert vocabularies.decode_target(ids) == vocabularies.decode_target(ids[:-1]) == line
        assert vocabularies.decode_target([*ids.tolist(), 2, 3]) == line


def test_joint_vocabularies_number_a_symbol_of_both_sides_once():
    lines = ["a b"], ["b c c"]
    joint = Vocabularies.build(*lines, ("words", "words"), joint=True)
    assert joint.source is joint.target
    assert joint.source.symbols == ["<eos>", "<unk>", "b", "c", "a"]
    apart = Vocabularies.build(*lines, ("words", "words"))
    assert not apart.joint
    assert apart.source.symbols == ["<eos>", "<unk>", "a", "b"]
    assert apart.target.symbols == ["<eos>", "<unk>", "c", "b"]
    turned = Vocabularies(apart.target, apart.source)
    assert len({joint.digest, apart.digest, turned.digest}) == 3


def test_options_reach_both_sides():
    lines = ["a a b b c"], ["x x y"]
    found = Vocabularies.build(*lines, ("words", "characters"), minimum_count=2, maximum_size=3)
    assert found.source.symbols == ["<eos>", "<unk>", "a"]
    assert found.target.symbols == ["<eos>", "<unk>", " "]
    with pytest.raises(DataError, match=r"no word that occurs at least 3 times. Lower --data\.minimum_count"):
        Vocabularies.build(*lines, ("words", "words"), minimum_count=3)


@pytest.mark.parametrize("kinds", ["words words", "characters words", "subwords words"])
def test_every_line_is_one_row_whatever_it_holds(kinds):
    vocabulary = build(kinds).source
    lines = ["<eos> Haus <eos>", "", "<unk>", "Haus\u2028Mann\x0cein", "<eos>x", "  ", "\t"]
    rows = encode_lines(lines, vocabulary)
    assert len(rows) == len(lines)
    for row in rows:
        assert np.flatnonzero(row == 0).tolist() == [len(row) - 1]


@pytest.mark.parametrize("kinds", ["words words", "characters words", "subwords words"])
def test_source_symbols_stand_beside_the_ids(kinds):
    vocabularies = build(kinds)
    for line in ("ein Haus", "", " der ☃☃ Mann\n", "<eos> groß", "Haus\u3000ist"):
        symbols = vocabularies.source_symbols(line)
        ids, _ = vocabularies.encode_source(line)
        assert len(symbols) == len(ids)
        assert symbols[-1] == "<eos>"
        for symbol, index in zip(symbols, ids.tolist(), strict=True):
            assert index == 1 or vocabularies.source.symbols[index] == symbol
    assert "☃" in "".join(vocabularies.source_symbols("☃ Haus"))


def test_a_long_line_is_cut_and_says_so():
    vocabularies = build("characters words")
    ids, cut = vocabularies.encode_source(" ein Haus ", max_length=4)
    assert cut
    assert vocabularies.source.decode(ids[:-1]) == "ein"
    assert ids[-1] == 0
    assert vocabularies.encode_source("ein", max_length=4)[1] is False
    assert len(vocabularies.encode_target("a man walks", max_length=3)[0]) == 3
    assert (
        vocabularies.encode_source("ein\nHaus")[0].tolist()
        == vocabularies.encode_source("ein Haus")[0].tolist()
    )


def test_a_missing_or_damaged_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"source_vocabulary.*no such file; expected a vocabulary"):
        Vocabularies.load(tmp_path)
    build("words words").save(tmp_path)
    file = tmp_path / "target_vocabulary" / "vocabulary.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"words": ["a", "a"]}))
    with pytest.raises(RunError, match=r"target_vocabulary.*damaged; expected every symbol of `words` once"):
        Vocabularies.load(tmp_path)
    file.write_text("[" * 100_000)
    with pytest.raises(RunError, match="damaged"):
        Vocabularies.load(tmp_path)


@pytest.mark.parametrize("foreign", [Notes(), Characters("ab", "newline")])
def test_a_vocabulary_that_cannot_end_a_row_is_refused(foreign: Vocabulary, tmp_path):
    Vocabularies(Words(["a"]), foreign).save(tmp_path)
    with pytest.raises(RunError, match=r"target_vocabulary: foreign; expected words, characters or subwords"):
        Vocabularies.load(tmp_path)
