"""Lines as they come, and what a line may be."""

import io
import os

import pytest

from recurra.cli.lines import CHUNK, LineReader, groups_of_lines
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
        ("[1, 2]", 'expected an object with "source", or a string; got [1, 2].', {}),
        ("3", 'expected an object with "source", or a string; got 3.', {}),
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


def test_lines_of_wide_encodings_cannot_be_told_apart():
    for encoding, says in (("utf-16", "cannot be told apart"), ("utf-99", "not a text encoding")):
        with pytest.raises(ConfigError, match=says):
            LineReader("input", encoding, key=None)
