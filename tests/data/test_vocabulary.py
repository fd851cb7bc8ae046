from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from recurra.data import vocabulary as module
from recurra.data.vocabularies import load_vocabulary
from recurra.data.vocabulary import Bytes, Characters, Words
from recurra.errors import ConfigError, DataError, RunError, ShapeError

WORD_TEXT = "the cat <unk> the mat\n\n a  cat\tthe end"


def test_words_are_numbered_by_count_then_alphabet():
    words = Words.build(WORD_TEXT)
    assert words.symbols == ["<eos>", "<unk>", "the", "cat", "a", "end", "mat"]
    assert (words.eos_id, words.unk_id, len(words)) == (0, 1, 7)
    assert words.encode(WORD_TEXT).tolist() == [2, 3, 1, 2, 6, 0, 0, 4, 3, 2, 5, 0]
    assert words.encode_line(WORD_TEXT).tolist() == [2, 3, 1, 2, 6, 0, 0, 4, 3, 2, 5]
    assert words.encode("The end\n").tolist() == [1, 5, 0]
    assert words.encode("").dtype == np.int64
    assert words.encode("").shape == (0,)


def test_words_are_limited_by_count_and_size():
    assert Words.build(WORD_TEXT, minimum_count=2).symbols == ["<eos>", "<unk>", "the", "cat"]
    assert Words.build(WORD_TEXT, maximum_size=5).symbols == ["<eos>", "<unk>", "the", "cat", "a"]


def test_words_decode_to_lines():
    words = Words.build(WORD_TEXT)
    assert words.decode(words.encode(WORD_TEXT)) == "the cat <unk> the mat\n\na cat the end\n"
    assert words.decode(torch.tensor([4, 3])) == "a cat"
    assert words.decode([]) == ""


def test_a_text_gives_the_same_ids_whatever_the_block(monkeypatch):
    text = "one two\u2028three\n\nfour  five six\n" * 7 + "seven"
    words, characters = Words.build(text), Characters.build(text)
    whole = words.encode(text), characters.encode(text)
    for block in (1, 2, 5, 13):
        monkeypatch.setattr(module, "BLOCK", block)
        assert Words.build(text).symbols == words.symbols
        assert Characters.build(text).symbols == characters.symbols
        assert np.array_equal(words.encode(text), whole[0])
        assert np.array_equal(characters.encode(text), whole[1])


def test_a_literal_eos_is_a_word_like_any_other():
    text = "a <eos> a\n<eos><unk> <unk>\n"
    words = Words.build(text)
    assert words.symbols == ["<eos>", "<unk>", "a", "<eos>", "<eos><unk>"]
    assert words.encode(text).tolist() == [2, 3, 2, 0, 4, 1, 0]
    assert words.decode(words.encode(text)) == text
    assert Words(["a"]).encode(text).tolist() == [2, 1, 2, 0, 1, 1, 0]
    assert [row.tolist() for row in words.encode_lines(["<eos>", "<unk> a"])] == [[3, 0], [1, 2, 0]]
    characters = Characters.build("<eos>", "eos")
    assert characters.decode(characters.encode("<eos>\n")) == "<eos>\n"
    assert np.count_nonzero(characters.encode("<eos>\n<eos>") == characters.eos_id) == 2


LINES = ["the cat", "", "  a\u2028<eos>\tmat ", "<unk>", "é☃ the the", " ", "end"]


@pytest.mark.parametrize("block", [1, 2, 5, 13, 1 << 18])
def test_lines_are_rows_whatever_the_block(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)
    for vocabulary in (Words.build(WORD_TEXT), Characters.build(WORD_TEXT, "eos"), Bytes("eos"), Bytes()):
        rows = vocabulary.encode_lines(LINES)
        assert len(rows) == len(LINES)
        assert rows.ids.dtype == rows.offsets.dtype == np.int64
        for row, line in zip(rows, LINES, strict=True):
            assert row.tolist() == [*vocabulary.encode_line(line).tolist(), vocabulary.eos_id]
        assert np.array_equal(rows.ids, vocabulary.encode("".join(line + "\n" for line in LINES)))
        assert len(vocabulary.encode_lines([])) == 0
        assert np.array_equal(vocabulary.encode_lines(tuple(LINES)).ids, rows.ids)


def test_characters_are_taken_as_they_are():
    characters = Characters.build("ab\nb ☃")
    assert characters.symbols == ["\\n", "<unk>", "b", " ", "a", "☃"]
    assert characters.encode("ab\nb").tolist() == [4, 2, 0, 2]
    assert characters.encode("ab\n").tolist() == characters.encode_line("ab\n").tolist() == [4, 2, 0]
    assert characters.encode("c☃\U0010ffff\t").tolist() == [1, 5, 1, 1]
    assert characters.decode([4, 0, 1, 5]) == "a\n\ufffd☃"


def test_characters_of_lines_end_with_a_symbol_of_their_own():
    characters = Characters.build("ab\nb", "eos", minimum_count=2)
    assert characters.symbols == ["<eos>", "<unk>", "b"]
    assert characters.encode("ab\nb").tolist() == [1, 2, 0, 2, 0]
    assert characters.encode_line("ab\nb").tolist() == [1, 2, 0, 2]
    assert characters.decode([2, 0]) == "b\n"


def test_bytes_know_everything():
    data = bytes(range(256))
    assert Bytes().encode(data).tolist() == list(range(256))
    assert (len(Bytes()), Bytes().eos_id, Bytes().unk_id) == (256, 10, None)
    assert Bytes().encode("é\n").tolist() == [0xC3, 0xA9, 10]
    lines = Bytes("eos")
    assert (len(lines), lines.eos_id) == (257, 256)
    assert lines.encode(b"a\nb").tolist() == [97, 256, 98, 256]
    assert lines.decode([97, 256]) == "a\n"
    assert Bytes().decode([0xC3]) == "\ufffd"
    assert all(symbol.isprintable() for symbol in Bytes().symbols)


plain_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1)


@settings(deadline=None)
@given(plain_text.filter(lambda text: text.strip("\n")))
def test_characters_come_back(text):
    characters = Characters.build(text)
    assert characters.decode(characters.encode(text)) == text
    lines = Characters.build(text, "eos")
    ended = text if text.endswith("\n") else text + "\n"
    assert lines.decode(lines.encode(text)) == ended
    assert np.count_nonzero(lines.encode(text) == lines.eos_id) == ended.count("\n")


@settings(deadline=None)
@given(plain_text)
def test_bytes_come_back(text):
    assert Bytes().decode(Bytes().encode(text)) == text
    assert Bytes().encode(text).astype(np.uint8).tobytes() == text.encode()


@settings(deadline=None)
@given(st.lists(st.lists(st.text("abé☃'", min_size=1, max_size=3), max_size=4), min_size=1))
def test_words_come_back(lines):
    text = "".join(" ".join(line) + "\n" for line in lines)
    if not text.strip():
        with pytest.raises(DataError, match="has no word"):
            Words.build(text)
        return
    words = Words.build(text)
    ids = words.encode(text)
    assert words.decode(ids) == text
    assert len(ids) == sum(map(len, lines)) + len(lines)
    assert np.array_equal(words.encode(text.removesuffix("\n") + "\n"), ids)


@pytest.mark.parametrize("build", [Words.build, Characters.build])
def test_a_vocabulary_of_nothing_is_refused(build):
    with pytest.raises(
        DataError, match=r"would hold only .*<unk>.* at least 9 times\. Lower --data.minimum_count"
    ):
        build("a b\n", minimum_count=9)
    with pytest.raises(DataError, match="Give another text"):
        build("\n\n")
    with pytest.raises(ConfigError, match="maximum_size: expected at least 3"):
        build("a b", maximum_size=2)


@pytest.mark.parametrize("vocabulary", [Words.build("a b"), Characters.build("ab"), Bytes()])
def test_ids_out_of_range_are_refused(vocabulary):
    for wrong in ([0, -1], [len(vocabulary)]):
        with pytest.raises(ShapeError, match=rf"ids: expected 0\.\.{len(vocabulary) - 1}"):
            vocabulary.decode(wrong)


EXAMPLES = [
    Words.build(WORD_TEXT),
    Characters.build("aé\t☃\n\ue000"),
    Characters.build("ab", "eos"),
    Bytes(),
    Bytes("eos"),
]


@pytest.mark.parametrize("vocabulary", EXAMPLES)
def test_saved_and_loaded_it_is_the_same(tmp_path, vocabulary):
    vocabulary.save(tmp_path)
    loaded = load_vocabulary(tmp_path)
    assert type(loaded) is type(vocabulary)
    assert loaded.symbols == vocabulary.symbols
    assert loaded.unit == vocabulary.unit
    assert loaded.digest == vocabulary.digest
    assert np.array_equal(loaded.encode("the a\nb end"), vocabulary.encode("the a\nb end"))
    assert [path.name for path in tmp_path.iterdir()] == ["vocabulary.json"]


def test_different_vocabularies_have_different_digests():
    assert len({vocabulary.digest for vocabulary in EXAMPLES}) == len(EXAMPLES)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"kind": "numbers"},
        {"kind": ["words"]},
        {"words": None},
        {"words": []},
        {"words": ["a", 3]},
        {"words": ["a", "a"]},
        {"words": ["a", "<unk>"]},
        {"words": ["a", "b c"]},
        {"words": ["a", ""]},
        {"words": ["a", "\n"]},
        {"words": ["a", "\ud800"]},
        {"kind": "characters", "characters": ["a", "\ud800"], "line_end": "eos"},
        {"kind": "labels", "labels": ["a", "\udfff"]},
        {"kind": "characters"},
        {"kind": "characters", "characters": ["a"]},
        {"kind": "characters", "characters": ["ab"], "line_end": "eos"},
        {"kind": "bytes", "line_end": ["eos"]},
        {"kind": "notes", "lowest": 90, "highest": 21},
        {"kind": "subwords"},
    ],
)
def test_a_damaged_or_foreign_file_is_refused(tmp_path, change):
    Words.build(WORD_TEXT).save(tmp_path)
    file = tmp_path / "vocabulary.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(RunError) as caught:
        load_vocabulary(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000, b"\x80\x04."]
)
def test_a_hostile_file_is_refused(tmp_path, content):
    (tmp_path / "vocabulary.json").write_bytes(content)
    with pytest.raises(RunError, match=r"vocabulary\.json: (damaged|foreign)"):
        load_vocabulary(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        load_vocabulary(tmp_path)
