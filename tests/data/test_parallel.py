from __future__ import annotations

import gzip
import random

import numpy as np
import pytest

from recurra.data.parallel import Lines, first_misaligned_line, hold_out, read_columns, read_parallel
from recurra.data.text import digest
from recurra.errors import DataError


def sentences(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Lines and 'translations' whose lengths go together, as those of real ones do."""
    draw = random.Random(seed)
    lengths = [draw.randint(10, 90) for _ in range(count)]
    return ["s" * length for length in lengths], [
        "t" * round(length * draw.uniform(0.9, 1.3)) for length in lengths
    ]


def test_parallel_files_are_read_line_by_line(write):
    sources = [
        write("a.de", b"\xef\xbb\xbfein Haus\r\n\r\n  zwei \r\n"),
        write("b.de.gz", gzip.compress(b"drei")),
    ]
    targets = [write("a.en", "a house\nx\ntwo\n"), write("b.en", "three\n")]
    lines = read_parallel(sources, targets, "utf-8")
    assert lines.source == ["ein Haus", "", "zwei", "drei"]
    assert lines.target == ["a house", "x", "two", "three"]
    assert lines.digest == digest([sources[0], targets[0], sources[1], targets[1]])
    assert lines.digest != read_parallel(targets, sources, "utf-8").digest
    assert lines.both().tolist() == [0, 2, 3]


def test_only_a_newline_ends_a_line(write):
    source, target = write("s", "a\u2028b\x0cc\nd"), write("t", "e\x85f\ng\n")
    lines = read_parallel([source], [target], "utf-8")
    assert (lines.source, lines.target) == (["a\u2028b\x0cc", "d"], ["e\x85f", "g"])


def test_columns_either_way_round(write):
    files = [write("1.tsv", "Go.\tVa !\n\nHi.\t\n"), write("2.tsv.gz", gzip.compress(b"Run!\t Cours !"))]
    lines = read_columns(files, "utf-8")
    assert lines.source == ["Go.", "", "Hi.", "Run!"]
    assert lines.target == ["Va !", "", "", "Cours !"]
    turned = read_columns(files, "utf-8", (2, 1))
    assert (turned.source, turned.target) == (lines.target, lines.source)
    assert turned.digest == lines.digest == digest(files)
    assert lines.both().tolist() == turned.both().tolist() == [0, 3]


@pytest.mark.parametrize(
    ("line", "columns", "message"),
    [
        ("no tab", None, "expected two columns .* got 1 .* Write the source, a tab, and the target"),
        ("a\tb\tCC-BY 2.0", None, "expected two columns .* got 3 .* name them: --data.columns 1 2"),
        ("a\tb", (1, 3), "expected at least 3 columns .* got 2 "),
    ],
)
def test_a_line_of_another_number_of_columns_is_refused(write, line, columns, message):
    file = write("1.tsv", f"a\tb{chr(9) + 'c' if columns else ''}\n{line}\n")
    with pytest.raises(DataError, match=rf"1\.tsv, line 2: {message}"):
        read_columns([file], "utf-8", columns)


def test_named_columns_are_taken_out_of_many(write):
    file = write("1.tsv", "Go.\tVa !\tCC-BY 2.0\n\nHi.\tSalut.\tCC\tmore\n")
    for columns in ((1, 2), (2, 1), (1, 3)):
        lines = read_columns([file], "utf-8", columns)
        rows = [("Go.", "Va !", "CC-BY 2.0"), ("", "", ""), ("Hi.", "Salut.", "CC")]
        expected = [tuple(row[number - 1] for number in columns) for row in rows]
        assert list(zip(lines.source, lines.target, strict=True)) == expected


def test_an_encoding_error_names_the_file(write):
    source, target = write("s.txt", "a\nb\n"), write("t.txt", b"a\n\xff\n")
    with pytest.raises(DataError, match=r"t\.txt, line 2: not UTF-8"):
        read_parallel([source], [target], "utf-8")
    assert read_parallel([source], [target], "latin-1").target == ["a", "ÿ"]


def test_different_lengths_give_both_counts_and_the_place(write):
    source, target = sentences(60, seed=1)
    del target[24]
    files = write("train.de", "\n".join(source)), write("train.en", "\n".join(target) + "\n")
    with pytest.raises(
        DataError, match=r"train\.de has 60 lines .*train\.en has 59; .* as many of each"
    ) as error:
        read_parallel([files[0]], [files[1]], "utf-8", "data.valid")
    assert "data.valid_source" in str(error.value)
    place = int(str(error.value).split("First suspicious line: ")[1].split(".")[0])
    assert abs(place - 25) <= 2


def test_each_pair_of_files_must_fit_by_itself(write):
    sources = [write("1.s", "a\nb\n"), write("2.s", "c\n")]
    targets = [write("1.t", "a\n"), write("2.t", "b\nc\n")]
    with pytest.raises(
        DataError, match=r"1\.s has 2 lines .*1\.t has 1; expected as many of each\. Fix or align"
    ):
        read_parallel(sources, targets, "utf-8")


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("at", [3, 150, 180])
def test_a_block_of_lines_too_many_is_found(block, at):
    source, target = sentences(200, seed=at)
    del source[at : at + block]
    for sides in ((source, target), (target, source)):
        assert abs(first_misaligned_line(*sides) - at - 1) <= 2


def test_no_line_is_named_where_none_is_suspicious():
    source, target = sentences(200, seed=5)
    assert (
        first_misaligned_line(source, target[:-3]) is None
    )  # the end is missing: no line before it is suspicious
    assert first_misaligned_line(source, random.Random(3).sample(target, 170)) is None
    assert first_misaligned_line(["a"], ["a", "b"]) is None


def make_lines(sources: str, targets: str) -> Lines:
    return Lines(sources.split(","), targets.split(","), "digest", "file")


def test_hold_out_keeps_all_targets_of_a_source_together():
    count = 40
    sources = [f"s{index % count}" for index in range(3 * count)]
    lines = Lines(sources, [f"t{index}" for index in range(3 * count)], "digest", "file")
    stays, valid, test = hold_out(lines, 2, 0.1)
    assert [len(set(part.source)) for part in (stays, valid, test)] == [32, 4, 4]
    assert [len(part.source) for part in (stays, valid, test)] == [96, 12, 12]
    assert not set(stays.source) & set(valid.source)
    assert not set(valid.source) & set(test.source)
    assert sorted(stays.target + valid.target + test.target) == sorted(lines.target)
    assert valid.target == sorted(valid.target, key=lambda text: int(text[1:]))
    again = hold_out(lines, 2, 0.1)
    assert again == [stays, valid, test]
    # Dictionaries are sorted: neither their end nor their beginning is held out.
    numbers = np.array([int(text[1:]) for text in valid.source + test.source])
    assert numbers.min() < 15
    assert numbers.max() > 25


def test_hold_out_leaves_empty_sides_where_they_count_as_empty():
    stays, valid = hold_out(make_lines("a,,b,c,,d", "1,2,,3,,4"), 1, 0.34)
    assert len(valid.source) == 1
    assert all(valid.source + valid.target)
    assert len(stays.source) == 5
    assert hold_out(stays, 0, 0.34) == [stays]
    stays, valid = hold_out(make_lines("a,,b,c,,d,e,f", "1,2,,3,,4,,"), 1, 0.67)  # of a, c and d
    assert (len(valid.source), len(stays.source)) == (2, 6)
    assert all(valid.source + valid.target)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_too_few_sources_to_hold_out_from(share):
    with pytest.raises(DataError, match=r"file: 3 unique sources are too few .* Pass --data\.valid"):
        hold_out(make_lines("a,a,b,c", "1,2,3,4"), 1, share)
