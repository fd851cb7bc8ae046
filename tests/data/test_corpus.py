from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recurra.data.corpus import Tokens, load_corpus, load_test
from recurra.data.notes import Notes
from recurra.data.text import TextConfig, default_text, digest
from recurra.data.vocabularies import Vocabularies
from recurra.data.vocabulary import Bytes, Words
from recurra.errors import ConfigError, DataError


def test_the_default_text_needs_no_file():
    corpus = load_corpus(TextConfig())
    text = default_text()
    cut = int(len(text) * 0.9)
    assert corpus.vocabularies["text"].decode(corpus.train.ids) == text[:cut]
    assert (corpus.train.characters, corpus.valid.characters) == (cut, len(text) - cut)
    assert corpus.train.offsets is None
    assert corpus.test is None
    assert set(corpus.digests) == {"train"}
    assert load_corpus(TextConfig(vocabulary="bytes")).digests == corpus.digests


def test_the_vocabulary_is_built_from_the_training_part_only(write):
    file = write("a.txt", "ab" * 45 + "xbxbxbxbxb")
    corpus = load_corpus(TextConfig(train=[file]))
    assert corpus.vocabularies["text"].symbols == ["\\n", "<unk>", "a", "b"]
    assert corpus.valid.ids.tolist() == [1, 3] * 5


def test_words_of_three_files(write):
    train, valid = write("1", "the cat\n\nthe mat\n"), write("2", "the dog\n cat")
    test = write("3.gz", gzip.compress(b"mat the  dog"))
    corpus = load_corpus(TextConfig(train=[train], valid=[valid], test=[test], vocabulary="words"))
    assert corpus.vocabularies["text"].symbols == ["<eos>", "<unk>", "the", "cat", "mat"]
    assert corpus.train.ids.tolist() == [2, 3, 0, 0, 2, 4, 0]
    assert corpus.valid.ids.tolist() == [2, 1, 0, 3, 0]
    assert corpus.test.ids.tolist() == [4, 2, 1, 0]
    assert (corpus.train.characters, corpus.valid.characters, corpus.test.characters) == (17, 12, 12)
    assert corpus.digests == {"train": digest([train]), "valid": digest([valid]), "test": digest([test])}


@pytest.mark.parametrize("vocabulary", ["words", "characters", "bytes"])
def test_lines_are_delimited_and_ended(write, vocabulary):
    file, valid = write("1", "ab c\n\nabc"), write("2", "ab\nc\n")
    config = TextConfig(train=[file], valid=[valid], vocabulary=vocabulary, layout="lines")
    corpus = load_corpus(config)
    train, symbols = corpus.train, corpus.vocabularies["text"]
    lines = [
        symbols.decode(train.ids[a:b]) for a, b in zip(train.offsets[:-1], train.offsets[1:], strict=True)
    ]
    assert lines == ["ab c\n", "\n", "abc\n"]
    assert train.offsets.dtype == np.int64
    assert train.characters == len("ab c\n\nabc\n")
    assert corpus.valid.characters == 5
    assert (train.ids == symbols.eos_id).sum() == 3


def test_a_literal_eos_ends_no_line(write):
    file = write("1", "a <eos> b\n<eos>\n\nb <unk>\n")
    config = TextConfig(train=[file], valid=[file], vocabulary="words", layout="lines")
    corpus = load_corpus(config)
    words, train = corpus.vocabularies["text"], corpus.train
    assert words.symbols == ["<eos>", "<unk>", "<eos>", "b", "a"]
    assert train.ids.tolist() == [4, 2, 3, 0, 2, 0, 0, 3, 1, 0]
    assert train.offsets.tolist() == [0, 4, 6, 7, 10]


def may_be_refused(text, vocabulary, layout):
    """Whether nothing in the held-out tenth is known; elsewhere the cut is moved to where a line or word begins."""
    if layout == "lines" or vocabulary == "words":
        return True
    cut = int(len(text) * 0.9)
    return vocabulary == "characters" and not (set(text[:cut]) & set(text[cut:])) - {"\n"}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text("ab \n", min_size=2, max_size=60),
    vocabulary=st.sampled_from(["words", "characters", "bytes"]),
    layout=st.sampled_from(["continuous", "lines"]),
)
def test_holding_out_loses_nothing(write, text, vocabulary, layout):
    config = TextConfig(train=[write("1", text)], vocabulary=vocabulary, layout=layout)
    try:
        corpus = load_corpus(config)
    except DataError:
        if may_be_refused(text, vocabulary, layout):
            return
        raise
    assert corpus.train.tokens >= 1
    assert corpus.valid.tokens >= 1
    assert (
        0 <= corpus.train.characters + corpus.valid.characters - len(text) <= (2 if layout == "lines" else 0)
    )
    if vocabulary != "words" and layout == "continuous":
        assert corpus.train.characters == int(len(text) * 0.9)
    if vocabulary == "words" and layout == "continuous" and "\n" in text.strip(" \n"):
        parts = [corpus.vocabularies["text"].encode(text[: corpus.train.characters]), corpus.valid.ids]
        assert np.array_equal(np.concatenate(parts)[: corpus.train.tokens], corpus.train.ids)


@pytest.mark.parametrize(
    ("text", "held_out"),
    [
        ("a b\n" * 9 + "a c\n", "a c\n"),  # 9/10 is a line start
        ("a b\n" * 19 + "a c\n", "a b\na c\n"),
        ("b\n" * 4 + "a a b a a a a a a a a a a a b\n", "a a b a a a a a a a a a a a b\n"),  # none after it
        ("b " * 9 + "c b", "c b"),  # no line start at all: a word start
    ],
)
def test_words_are_held_out_from_a_line_start(write, text, held_out):
    corpus = load_corpus(TextConfig(train=[write("1", text)], vocabulary="words"))
    assert corpus.valid.characters == len(held_out)
    assert corpus.valid.ids.tolist() == corpus.vocabularies["text"].encode(held_out).tolist()


@pytest.mark.parametrize(("layout", "text"), [("lines", "one line only\n"), ("continuous", "a")])
def test_a_text_too_short_to_hold_out_a_tenth(write, layout, text):
    with pytest.raises(DataError, match=r"too short to hold out its last tenth\. Pass --data\.valid"):
        load_corpus(TextConfig(train=[write("1", text)], layout=layout, hold_out="end"))


def test_a_split_with_nothing_known_is_refused(write):
    train, foreign = write("1", "a b c\n"), write("foreign.txt", "x y\nz\n")
    config = TextConfig(train=[train], valid=[foreign], vocabulary="words")
    with pytest.raises(DataError, match=r"foreign\.txt: none of its words is among the 5 symbols"):
        load_corpus(config)
    with pytest.raises(DataError, match="held-out tenth of the training text: none of its words"):
        load_corpus(TextConfig(train=[write("1", "a b\n" * 9 + "c d\n")], vocabulary="words"))
    with pytest.raises(DataError, match=r"foreign\.txt: none of its words"):
        load_test([foreign], config, Vocabularies({"text": Words.build("a")}))


def test_a_vocabulary_of_nothing_is_refused(write):
    config = TextConfig(train=[write("1", "a b\n" * 20)], vocabulary="words", minimum_count=50)
    with pytest.raises(DataError, match="would hold only"):
        load_corpus(config)


def test_a_given_vocabulary_is_used(write):
    file = write("1", "b a\n" * 10)
    words = Vocabularies({"text": Words(["a", "z", "b"])})
    corpus = load_corpus(TextConfig(train=[file], vocabulary="words"), words)
    assert corpus.vocabularies is words
    assert corpus.train.ids[:3].tolist() == [4, 2, 0]
    with pytest.raises(ConfigError, match=r"data\.vocabulary: expected 'bytes', the run's own; got 'words'"):
        load_corpus(TextConfig(train=[file], vocabulary="words"), Vocabularies({"text": Bytes()}))


def test_bytes_take_any_file(write):
    data = bytes(range(256)) * 2
    corpus = load_corpus(TextConfig(train=[write("1", data)], vocabulary="bytes"))
    assert np.concatenate([corpus.train.ids, corpus.valid.ids]).tolist() == list(data)
    assert corpus.train.characters == int(512 * 0.9)


def test_subwords_are_built(write):
    pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
    text = "the cat sat on the mat\nthe dog sat on the log\n" * 10
    corpus = load_corpus(TextConfig(train=[write("1", text)], vocabulary="subwords", subword_size=30))
    assert isinstance(corpus.train, Tokens)
    assert (
        corpus.vocabularies["text"].decode(corpus.train.ids)
        + corpus.vocabularies["text"].decode(corpus.valid.ids)
        == text
    )


CHORALES = {"train": [[[60, 64], [], [21]], [[108]]], "valid": [[[61]]], "test": [[[62], [63]]]}


def test_one_notes_file_gives_all_three_splits(write):
    file = write("a.json.gz", gzip.compress(json.dumps(CHORALES).encode()))
    corpus = load_corpus(TextConfig(train=[file], vocabulary="notes"))
    assert (corpus.train.tokens, corpus.valid.tokens, corpus.test.tokens) == (4, 1, 2)
    assert isinstance(corpus.vocabularies["text"], Notes)
    assert corpus.vocabularies["text"].decode(corpus.train.sequences[0]) == "60 64\n\n21\n"
    assert corpus.vocabularies["text"].decode(corpus.test.sequences[0]) == "62\n63\n"
    assert corpus.digests == {"train": digest([file])}
    assert load_test([file], TextConfig(), corpus.vocabularies).tokens == 2


def test_notes_files_of_their_own(write):
    file, valid = write("a.json", json.dumps(CHORALES)), write("b.json", json.dumps([[[60], [61], [62]]]))
    corpus = load_corpus(TextConfig(train=[file, file], valid=[valid], vocabulary="notes"))
    assert (corpus.train.tokens, corpus.valid.tokens, corpus.test.tokens) == (8, 3, 4)
    assert set(corpus.digests) == {"train", "valid"}


def lines_of(corpus, split):
    decode = corpus.vocabularies["text"].decode
    places = zip(split.offsets[:-1], split.offsets[1:], strict=True)
    return [decode(split.ids[begin:end]).removesuffix("\n") for begin, end in places]


@pytest.mark.parametrize("vocabulary", ["characters", "bytes", "words"])
def test_held_out_lines_are_drawn_from_the_whole_text(write, vocabulary):
    """As of a list of names that is sorted by language, whose end is one language."""
    names = [f"{kind}{number}" for kind in "abcde" for number in range(40)]
    file = write("names", "\n".join([*names, *names[::-1]]))  # each twice
    config = TextConfig(train=[file], layout="lines", vocabulary=vocabulary)
    corpus = load_corpus(TextConfig(train=[file], valid=[file], layout="lines", vocabulary=vocabulary))
    corpus = load_corpus(config, corpus.vocabularies)  # with all words known
    train, valid = lines_of(corpus, corpus.train), lines_of(corpus, corpus.valid)
    assert sorted(train + valid) == sorted(names * 2)
    assert len(valid) == 40
    assert {name[0] for name in valid} == set("abcde")
    assert not set(train) & set(valid)
    assert valid == [name for name in [*names, *names[::-1]] if name in valid]  # in order
    assert set(corpus.digests) == {"train", "valid"}  # a run is resumed with the same lines or not at all
    end = load_corpus(TextConfig(train=[file], layout="lines", vocabulary=vocabulary, hold_out="end"))
    assert len(lines_of(end, end.valid)) in (
        40,
        41,
    )  # the first line start after nine tenths of the characters
    assert set(end.digests) == {"train"}


def test_a_continuous_text_keeps_its_end(write):
    text = "".join(f"line {number}\n" for number in range(100))
    file = write("1", text)
    corpus = load_corpus(TextConfig(train=[file]))
    assert corpus.vocabularies["text"].decode(corpus.valid.ids) == text[int(len(text) * 0.9) :]
    with pytest.raises(ConfigError, match=r"data\.hold_out: a continuous text keeps its end"):
        TextConfig(train=[file], hold_out="sample")
    for text in ("one line only\n", "\n\n\n"):
        with pytest.raises(DataError, match=r"too few lines that are not empty .* Pass --data\.valid FILE"):
            load_corpus(TextConfig(train=[write("1", text)], layout="lines"))


def test_notes_without_splits_hold_out_a_tenth(write):
    tunes = [[[60 + index]] for index in range(20)]
    file = write("a.json", json.dumps(tunes))
    corpus = load_corpus(TextConfig(train=[file], vocabulary="notes"))
    assert [len(corpus.train.sequences), len(corpus.valid.sequences)] == [18, 2]
    assert corpus.test is None
    assert set(corpus.digests) == {"train", "valid"}
    end = load_corpus(TextConfig(train=[file], vocabulary="notes", hold_out="end"))
    last = [end.vocabularies["text"].decode(one) for one in end.valid.sequences]
    assert last == ["78\n", "79\n"]
    assert [corpus.vocabularies["text"].decode(one) for one in corpus.valid.sequences] != last
    with pytest.raises(DataError, match="too few note sequences"):
        load_corpus(TextConfig(train=[write("a.json", "[[[60]]]")], vocabulary="notes"))


def test_a_note_out_of_range_names_file_and_place(write):
    file = write("a.json", json.dumps(CHORALES))
    with pytest.raises(DataError, match=r"a\.json: train\[1\]\[0\]: note 108 lies outside 21\.\.100"):
        load_corpus(TextConfig(train=[file], vocabulary="notes", note_range=[21, 100]))
