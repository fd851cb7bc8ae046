"""Lines as they come, and what a line may be."""

import io
import itertools
import os
import random
import time

import pytest

from recurra.cli import score_files
from recurra.cli.lines import CHUNK, LineReader, groups_of_lines, open_lines
from recurra.data.corpus import encode_text
from recurra.data.file_formats import STANDARD_INPUT
from recurra.data.parallel import read_columns, read_parallel
from recurra.data.text import TextConfig, read_files
from recurra.data.vocabularies import build_vocabulary
from recurra.errors import ConfigError


@pytest.fixture
def pipe():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as stream, os.fdopen(write, "wb", buffering=0) as writer:
        yield stream, writer


def read(lines, key="source", encoding="utf-8"):
    reader = LineReader("input", encoding, key)
    return [reader.read(line if isinstance(line, bytes) else line.encode()) for line in lines]


def test_groups_hold_every_line_once():
    data = b"a\n\nb\r\n\nc d\n\n"
    lines = [b"a", b"", b"b", b"", b"c d", b""]
    for most in (1, 2, 5, 6, 7):
        groups = list(groups_of_lines(io.BytesIO(data), most))
        assert [line for group in groups for line in group] == lines
        assert [len(group) for group in groups[:-1]] == [most] * (len(groups) - 1)
    assert list(groups_of_lines(io.BytesIO(b""), 3)) == []
    assert list(groups_of_lines(io.BytesIO(b"\n"), 3)) == [[b""]]
    assert list(groups_of_lines(io.BytesIO(b"a\nno end"), 3)) == [[b"a", b"no end"]]


def test_long_input_is_read_in_pieces():
    lines = [str(number).encode() * (number % 40) for number in range(4000)]
    data = b"".join(line + b"\n" for line in lines)
    assert len(data) > 3 * CHUNK
    groups = list(groups_of_lines(io.BytesIO(data), 1500))
    assert [len(group) for group in groups] == [1500, 1500, 1000]
    assert [line for group in groups for line in group] == lines


def test_nothing_is_waited_for_that_is_not_there(pipe):
    stream, writer = pipe
    groups = groups_of_lines(stream, 3)
    writer.write(b"one\nhal")
    assert next(groups) == [b"one"]
    writer.write(b"f\n")
    assert next(groups) == [b"half"]
    writer.write(b"1\n2\n3\n4\n5")
    assert next(groups) == [b"1", b"2", b"3"]
    assert next(groups) == [b"4"]
    writer.write(b"6\nend")
    writer.close()
    assert list(groups) == [[b"56", b"end"]]


def test_plain_text_is_text_whatever_it_looks_like():
    lines = ['{"source": "a"}', "", '"b"', "  c "]
    assert [line.text for line in read(lines, key=None)] == lines
    first, second = read([b"\xef\xbb\xbfa b", b"\xef\xbb\xbfc"])
    assert (first.text, second.text) == ("a b", "\ufeffc")  # a byte order mark begins a text
    assert read([b"\xe4"], encoding="latin-1")[0].text == "ä"


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        (['{"source": "a"}', '"b"', ' {"source": "c"} '], ["a", "b", "c"]),
        (['"a"', '{"source": "b"}'], ["a", "b"]),
        (["", '"a"', '"b\\nc"'], ["", "a", "b\nc"]),
        (["a", '{"source": "b"}', '"c"'], ["a", "b", "c"]),
        (['"Yes," she said.', '"No."', "a"], ['"Yes," she said.', '"No."', "a"]),  # not JSON, so plain
        (["a", '"No."', "b"], ["a", '"No."', "b"]),
    ],
)
def test_the_input_may_be_json(lines, texts):
    found = read(lines)
    assert [line.text for line in found] == texts
    assert all(line.error is None for line in found)


@pytest.mark.parametrize(
    ("line", "says", "keys"),
    [
        ("{bad", "not JSON (Expecting property name", {}),
        ("plain", "not JSON (Expecting value at column 1); once a line is JSON, every line must be.", {}),
        ("", "not JSON", {}),
        ('{"id": 4, "text": "a"}', 'expected text under "source", got none; add it.', {"id": 4, "text": "a"}),
        ('{"source": 4, "id": [1]}', 'expected text under "source", got 4', {"id": [1]}),
        ("[1, 2]", "expected an object with \"source\", or a string; got '[1, 2]'.", {}),
        ("3", "expected an object with \"source\", or a string; got '3'.", {}),
        ('{"source": "a", "x": NaN}', "not plain JSON (Out of range", {}),
        ('{"source": "a", "x": 1e999}', "not plain JSON", {}),
        (r'{"source": "\ud800"}', "not plain JSON", {}),
        ("[" * 100_000, "not plain JSON (maximum recursion", {}),
        (b'{"source": "\xff"}', "not UTF-8 (byte 0xff at column 13)", {}),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_read(line, says, keys):
    good, bad, after = read(['{"source": "a"}', line, '{"source": "b", "id": 2}'])
    assert good.error is None
    assert bad.error.startswith(f"input, line 2: {says}")
    assert "\n" not in bad.error
    assert (bad.text, bad.keys) == ("", keys)
    assert (after.text, after.keys, after.error) == ("b", {"id": 2}, None)


def test_lines_of_wide_encodings_are_read_of_files_only(tmp_path):
    for encoding, says in (("utf-16", "cannot be told apart"), ("utf-99", "not a text encoding")):
        with pytest.raises(ConfigError, match=says):
            open_lines(None, encoding)
    file = tmp_path / "a.txt"
    for encoding in ("utf-16", "utf-8-sig"):
        file.write_bytes("ä\r\n\nb".encode(encoding))
        name, stream, its_own = open_lines(str(file), encoding)
        lines = [line for group in groups_of_lines(stream, 9) for line in group]
        assert [LineReader(name, its_own, None).read(line).text for line in lines] == ["ä", "", "b"]


def test_bytes_are_lines_as_they_are(tmp_path):
    data = b"\xef\xbb\xbfa\r\n\0\xe4\n\rb"
    file = tmp_path / "a.txt"
    file.write_bytes(data)
    name, stream, encoding = open_lines(str(file), None)
    groups = list(groups_of_lines(stream, 9, as_they_are=True))
    assert groups == [[b"\xef\xbb\xbfa\r", b"\0\xe4", b"\rb"]]
    reader = LineReader(name, encoding, None)
    assert [reader.read(line).text for line in groups[0]] == groups[0]


def test_nul_is_no_text():
    assert (
        read([b"a", b"b\xc3\xa4\0c"])[1].error == "input, line 2: binary (byte 0x00 at column 3); give text."
    )


def test_a_long_line_costs_linear_time():
    class Trickle(io.BytesIO):
        def read1(self, size=-1):
            return super().read1(min(size, 512))

    data = b"a" * (1 << 25)
    began = time.perf_counter()
    assert list(groups_of_lines(Trickle(data), 3)) == [[data]]
    assert time.perf_counter() - began < 5  # joined anew for each piece, it would be 10^12 bytes
    many = b"\n" * (1 << 19)
    began = time.perf_counter()
    assert sum(1 for _ in groups_of_lines(io.BytesIO(many), 1)) == len(many)
    assert time.perf_counter() - began < 5


def lines_everywhere(text, folder):
    """The lines of a text as each reader finds them, by its name."""
    data = text.encode()
    file = folder / "a.txt"
    file.write_bytes(data)
    config = TextConfig(layout="lines", train=[str(file)])
    contents, _ = read_files([file], config)
    vocabulary = build_vocabulary("characters", contents, line_end="eos")
    tokens = encode_text(contents, config, vocabulary, "a")
    rows = [tokens.ids[begin : end - 1] for begin, end in itertools.pairwise(tokens.offsets)]
    name, stream, encoding = open_lines(str(file), "utf-8")

    def one_by_one(name, stream, encoding):
        reader = LineReader(name, encoding, None)
        return [reader.read(line).text for group in groups_of_lines(stream, 3) for line in group]

    return {
        "training": [vocabulary.decode(row) for row in rows],
        "a file": one_by_one(name, stream, encoding),
        "standard input": one_by_one(STANDARD_INPUT, io.BytesIO(data), "utf-8"),
        "bleu": score_files._lines(str(file), "utf-8"),
    }


def test_every_reader_sees_the_same_lines_and_pairs(tmp_path):
    generator = random.Random(17)
    for _ in range(300):
        letters = generator.choices("\n\r\x0b\x0c\x1c\x85\u2028\ufeff \tab", k=generator.randint(1, 12))
        text = "".join(letters) + generator.choice(["", "a", "a\n", "a\r\n", "\n"])
        if "\n" not in text or not text.removeprefix("\ufeff").strip():
            text += "a\n"  # neither an old Macintosh's nor blank
        found = lines_everywhere(text, tmp_path)
        expected = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        expected[-1] = text.removeprefix("\ufeff").split("\n")[-1]  # it has no end
        expected = expected[:-1] if not expected[-1] else expected
        assert found == dict.fromkeys(found, expected), repr(text)
        (tmp_path / "a.txt").write_bytes(text.encode())
        pairs = read_parallel([str(tmp_path / "a.txt")], [str(tmp_path / "a.txt")], "utf-8")
        assert pairs.source == [line.strip() for line in expected]
        (tmp_path / "a.tsv").write_bytes(text.replace("\t", " ").encode() + b"\na\tb\rc\n")
        assert read_columns([str(tmp_path / "a.tsv")], "utf-8", [1, 1]).source[-1] == "a"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "cp500"])
def test_one_carriage_return_belongs_to_a_line_end(tmp_path, encoding):
    text = "a\r\r\n\rb\r\n\n\r"
    file = tmp_path / "a.txt"
    file.write_bytes(text.encode(encoding))
    name, stream, its_own = open_lines(str(file), encoding)
    reader = LineReader(name, its_own, None)
    lines = [reader.read(line).text for group in groups_of_lines(stream, 2) for line in group]
    assert lines == ["a\r", "\rb", "", "\r"]
    assert lines == score_files._lines(str(file), encoding)
