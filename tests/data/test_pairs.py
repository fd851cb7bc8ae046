from __future__ import annotations

import dataclasses
import gzip

import numpy as np
import pytest

from recurra.data.pair_vocabularies import build_pair_vocabularies
from recurra.data.pairs import PairConfig, load_pairs, load_test_pairs
from recurra.data.rows import Rows
from recurra.data.text import digest
from recurra.errors import ConfigError, DataError

TRAIN = "Go.\tVa !\nHi.\tSalut !\nHi.\tSalut.\n\tRien\nRun now!\tCours maintenant !\nHi.\tSalut !\n"


def texts(rows: Rows, side) -> list[str]:
    return [side.decode(row[:-1]) for row in rows]


@pytest.fixture
def files(write):
    return {
        "train": [write("train.tsv", TRAIN)],
        "valid": [
            write(
                "valid.tsv.gz", gzip.compress(b"Hi.\tVa\nGo.\t\n\tVa\nHi.\tSalut\nHi.\t\nGo, go, go.\tVa\n")
            )
        ],
    }


def test_pairs_for_the_loss_and_sources_for_decoding(files):
    corpus = load_pairs(PairConfig(**files))
    source, target = corpus.vocabularies["source"], corpus.vocabularies["target"]
    assert source.symbols == ["<eos>", "<unk>", "Hi.", "Go.", "Run", "now!"]
    assert texts(corpus.train.source, source) == ["Go.", "Hi.", "Hi.", "Run now!", "Hi."]
    assert texts(corpus.train.target, target)[3:] == ["Cours maintenant !", "Salut !"]
    assert corpus.train.source_text == ["Go.", "Hi.", "", "Run now!"]
    assert corpus.train.references == [["Va !"], ["Salut !", "Salut."], ["Rien"], ["Cours maintenant !"]]
    assert corpus.train.used.tolist() == [0, 1, 2, 4, 5]
    assert dataclasses.astuple(corpus.train.counts) == (6, 1, 0, 0)
    assert len(corpus.train) == 5
    assert corpus.train.tokens == len(corpus.train.target.ids) == 3 + 3 + 2 + 4 + 3

    valid = corpus.valid
    assert dataclasses.astuple(valid.counts) == (6, 3, 0, 0)
    assert valid.source_text == ["Hi.", "Go.", "", "Go, go, go."]
    assert valid.references == [["Va", "Salut"], [""], ["Va"], ["Va"]]
    assert texts(valid.sources, source) == ["Hi.", "Go.", "", "<unk> <unk> <unk>"]
    assert valid.lines.source[4] == "Hi."
    assert corpus.test is None
    assert corpus.digests == {"train": digest(files["train"]), "valid": digest(files["valid"])}


def test_the_other_column_can_be_the_source(files):
    corpus = load_pairs(PairConfig(**files, columns=(2, 1)))
    assert corpus.train.source_text == ["Va !", "Salut !", "Salut.", "Rien", "Cours maintenant !"]
    assert corpus.train.references[:4] == [["Go."], ["Hi."], ["Hi."], [""]]


def test_columns_of_runs_made_before_they_were_numbers(files):
    assert PairConfig(**files, columns="source_target").columns is None
    assert PairConfig(**files, columns="target_source").columns == [2, 1]


def test_parallel_files_and_columns_hold_the_same(write, files):
    columns = [line.split("\t") for line in TRAIN.splitlines()]
    parallel = {
        "train_source": [
            write("s1", "\n".join(row[0] for row in columns[:3])),
            write("s2", "\n\nRun now!\nHi.\n"[1:]),
        ],
        "train_target": [
            write("t1", "\n".join(row[1] for row in columns[:3])),
            write("t2", "\n".join(row[1] for row in columns[3:])),
        ],
    }
    one = load_pairs(PairConfig(**parallel, valid=files["valid"]))
    other = load_pairs(PairConfig(**files))
    assert one.train.lines.source == other.train.lines.source
    assert np.array_equal(one.train.target.ids, other.train.target.ids)
    assert one.vocabularies.digest == other.vocabularies.digest
    assert one.digests["train"] != other.digests["train"]


def test_what_is_left_out_reaches_the_splits(write, files):
    test = [write("test.tsv", "a b c d\tx\ne\tx y z w v\nf\tx\n")]
    config = PairConfig(**files, test=test, max_length=4, source_vocabulary="characters")
    pairs = load_pairs(config).test
    assert dataclasses.astuple(pairs.counts) == (3, 0, 2, 0)
    config = dataclasses.replace(config, long_lines="truncate")
    pairs = load_pairs(config).test
    assert dataclasses.astuple(pairs.counts) == (3, 0, 0, 2)
    assert pairs.source.lengths.tolist() == [4, 2, 2]
    config = dataclasses.replace(config, long_lines="skip", max_length=2, test=[])
    with pytest.raises(
        DataError, match=r"train\.tsv: no pair is left, 5 are longer than 2 .*data\.long_lines truncate"
    ):
        load_pairs(config)


def test_without_validation_files_sources_are_held_out(write):
    lines = [f"word{index % 50}\ttarget {index}" for index in range(100)]
    file = write("sorted.tsv", "\n".join(lines))
    config = PairConfig(train=[file], held_out=0.2)
    corpus = load_pairs(config)
    assert (len(corpus.train), len(corpus.valid)) == (80, 20)
    assert not set(corpus.train.source_text) & set(corpus.valid.source_text)
    assert all(len(references) == 2 for references in corpus.valid.references)
    assert len(corpus.vocabularies["source"]) == 2 + 40  # of the training part only
    assert set(corpus.digests) == {"train"}
    assert load_pairs(config).valid.source_text == corpus.valid.source_text


def test_test_pairs_are_read_alone(write, files):
    config = PairConfig(**files, test=[write("t.tsv", "Hi.\tSalut !\n")])
    vocabularies = load_pairs(config).vocabularies
    gone = dataclasses.replace(config, train=["/gone.tsv"], valid=["/gone.tsv"])
    pairs = load_test_pairs(gone, vocabularies)
    assert (pairs.source_text, pairs.references) == (["Hi."], [["Salut !"]])
    with pytest.raises(ConfigError, match=r"data\.test: expected a file\. Pass --data\.test"):
        load_test_pairs(dataclasses.replace(config, test=[]), vocabularies)


def test_given_vocabularies_are_kept_and_must_fit(files):
    config = PairConfig(**files)
    own = build_pair_vocabularies(["Va"], ["Hi. Go."], ("words", "words"))
    corpus = load_pairs(config, own)
    assert corpus.vocabularies is own
    assert set(corpus.train.source.ids) == {0, 1}  # never seen is unknown, not an error
    for change in ({"source_vocabulary": "characters"}, {"joint": True}):
        with pytest.raises(ConfigError, match=r"expected words, words and False, the run's own"):
            load_pairs(dataclasses.replace(config, **change), own)


def test_files_without_a_usable_pair_are_refused(write, files):
    empty = [write("empty.tsv", "a\t\n\tb\n\n")]
    with pytest.raises(DataError, match=r"empty\.tsv: no line has both a source and a target"):
        load_pairs(PairConfig(train=empty, valid=files["valid"]))
    with pytest.raises(DataError, match=r"empty\.tsv: no line has both a source and a target"):
        load_pairs(PairConfig(train=files["train"], valid=empty))
    with pytest.raises(DataError, match=r"empty\.tsv: 0 unique sources are too few"):
        load_pairs(PairConfig(train=empty))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": "a.tsv"}, r"data\.train: expected a list of files"),
        (
            {"train_source": ["a"], "train": ["b"]},
            r"data\.train: expected tab-separated files or parallel ones, got both",
        ),
        ({"valid_source": ["a"]}, r"data\.valid_source, data\.valid_target: expected as many .* got 1 and 0"),
        ({"test_source": ["a"], "test_target": ["a", "b"]}, r"data\.test_source.* got 1 and 2"),
        (
            {"columns": "source"},
            r"data\.columns: expected two column numbers from 1, such as 1 2, got 'source'",
        ),
        ({"columns": [1, 0]}, r"data\.columns: expected two column numbers from 1"),
        ({"columns": [1, 2, 3]}, r"data\.columns: expected two different column numbers .* got \[1, 2, 3\]"),
        ({"columns": [2, 2]}, r"data\.columns: expected two different column numbers .* got \[2, 2\]"),
        ({"columns": [2, 1]}, r"data\.columns: 2 1 has no tab-separated file"),
        ({"encoding": "utf8x"}, r"data\.encoding"),
        ({"source_vocabulary": "word"}, r"data\.source_vocabulary: .* Did you mean 'words'"),
        (
            {"target_vocabulary": "bytes"},
            r"data\.target_vocabulary: expected one of words, characters, subwords",
        ),
        (
            {"joint": True, "source_vocabulary": "characters", "target_vocabulary": "words"},
            r"data\.joint: one vocabulary needs one kind, got characters .* and words",
        ),
        ({"joint": 1}, r"data\.joint: expected true or false, got 1"),
        ({"minimum_count": 0}, r"data\.minimum_count"),
        ({"maximum_size": 2}, r"data\.maximum_size"),
        ({"subword_size": 2.5}, r"data\.subword_size"),
        ({"max_length": 1}, r"data\.max_length: expected a whole number of at least 2"),
        ({"long_lines": "cut"}, r"data\.long_lines: expected one of skip, truncate"),
        ({"held_out": 0}, r"data\.held_out: expected a number in \(0, 1\), got 0"),
        ({"held_out": float("nan")}, r"data\.held_out: .* got nan"),
        ({"held_out": "0.1"}, r"data\.held_out: expected a number in \(0, 1\), got '0\.1'"),
        ({"subword_sampling": 1.5}, r"data\.subword_sampling: expected a number from 0 to 1, got 1\.5"),
        (
            {"subword_sampling": 0.2, "source_vocabulary": "words", "target_vocabulary": "characters"},
            r"data\.subword_sampling: 0\.2 has nothing to draw from",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(values, message):
    with pytest.raises(ConfigError, match=message) as error:
        PairConfig(**values)
    assert "\n" not in str(error.value)
