from __future__ import annotations

import gzip
import hashlib
import re

import pytest

from recurra.data.file_formats import STANDARD_INPUT
from recurra.data.files import read_bytes
from recurra.data.text import (
    TextConfig,
    check_encoding,
    decode_text,
    default_text,
    digest,
    read_files,
    read_text,
)
from recurra.errors import ConfigError, DataError


def failure(expected: type[Exception], function, *args, **kwargs) -> str:
    """The message of the error, which is one line."""
    with pytest.raises(expected) as caught:
        function(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_text_is_read_plain_and_packed(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "named_anything"
    plain.write_bytes("Größe\nx".encode())
    packed.write_bytes(gzip.compress("Grö".encode()) + gzip.compress("ße\nx".encode()))
    assert read_text(plain) == read_text(packed) == "Größe\nx"
    assert digest([plain]) == digest([packed]) == hashlib.sha256("Größe\nx".encode()).hexdigest()
    assert digest([plain, packed]) != digest([plain])


def test_line_ends_are_newlines_and_the_byte_order_mark_is_dropped(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\x0cfour\n")
    assert read_text(file) == "one\ntwo\rthree\x0cfour\n"
    file.write_text("one\ntwo", encoding="utf-16")
    assert read_text(file, "utf-16") == "one\ntwo"
    file.write_bytes("Größe".encode("latin-1"))
    assert read_text(file, "latin-1") == "Größe"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_an_old_macintosh_file_is_read_with_a_note_and_a_stream_is_not(tmp_path, caplog, encoding):
    file = tmp_path / "a.txt"
    file.write_bytes("one\rtwö\r".encode(encoding))
    assert read_text(file, encoding) == "one\ntwö\n"
    assert [record.getMessage() for record in caplog.records] == [
        rf"recurra: {file}: \r ends its lines, and no \n is there, as on an old Macintosh."
    ]
    assert decode_text(file.read_bytes(), encoding, STANDARD_INPUT) == "one\rtwö\r"
    assert len(caplog.records) == 1
    file.write_bytes(b"one\rtwo\xff")
    assert "line 2: not UTF-8 (byte 0xff at column 4)" in failure(DataError, read_text, file)


def test_utf_16_without_a_mark_is_named(tmp_path):
    file = tmp_path / "a.txt"
    for encoding in ("utf-16-le", "utf-16-be"):
        file.write_bytes("plain text\n".encode(encoding))
        message = failure(DataError, read_text, file)
        assert f"looks like {encoding.upper()}" in message
        assert f"pass --data.encoding {encoding}." in message
    file.write_bytes(b"ab\0cd\0ef")
    assert "a binary file" in failure(DataError, read_text, file)


def test_wrong_encoding_names_file_line_byte_column_and_remedy(tmp_path):
    file = tmp_path / "poems.txt"
    file.write_bytes(b"a\n" * 20 + b"a\r\n" * 20 + b"12345\xc3\xa4" + b"\xff tail\n")
    assert failure(DataError, read_text, file) == (
        f"{file}, line 41: not UTF-8 (byte 0xff at column 7). "
        "Re-encode the file, or pass --data.encoding latin-1."
    )
    assert "line 41: not ASCII (byte 0xc3 at column 6)" in failure(DataError, read_text, file, "ascii")


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf\xff", b"\xff"])
def test_wrong_encoding_in_the_first_byte(tmp_path, data):
    file = tmp_path / "poems.txt"
    file.write_bytes(data)
    assert ", line 1: not UTF-8 (byte 0xff at column 1)" in failure(DataError, read_text, file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le", "latin-1"])
def test_a_binary_file_is_refused_with_line_and_byte(tmp_path, encoding):
    file = tmp_path / "a.out"
    file.write_bytes("line\nöx\0y".encode(encoding))
    message = failure(DataError, read_text, file, encoding)
    assert message.startswith(f"{file}, line 2: a binary file (byte 0x00 at column 3). ")
    assert "--data.vocabulary bytes" in message
    assert read_bytes(file) == "line\nöx\0y".encode(encoding)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "idna",
            "punycode",
            "rot13",
            "base64",
            "hex",
            "zip",
            "unicode_escape",
            "raw-unicode-escape",
            "undefined",
        ),
        *("", "a\0b", "\udcff", "../text", "aliases", "mbcs", "x" * 10_000, "a\nb", " "),
    ],
)
def test_what_encodes_no_texts_is_no_encoding(name):
    message = failure(ConfigError, check_encoding, name)
    assert "is not a text encoding, such as latin-1" in message
    assert len(message) <= 500


@pytest.mark.parametrize("name", ["UTF8", "latin-1", "utf_16", "shift_jis", "gb18030", "cp1252", "utf-8-sig"])
def test_text_encodings_pass(name):
    check_encoding(name)


def test_a_truncated_wide_encoding_is_one_line(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("ab\ncd".encode("utf-16-le")[:-1])
    assert "line 2: not UTF-16-LE (byte 0x64 at column 2)" in failure(DataError, read_text, file, "utf-16-le")


def test_files_that_cannot_be_used(tmp_path):
    (tmp_path / "corpus.txt").write_bytes(b"")
    assert "the file is empty" in failure(DataError, read_text, tmp_path / "corpus.txt")
    (tmp_path / "mark.txt").write_bytes(b"\xef\xbb\xbf")
    assert "the file is empty" in failure(DataError, read_text, tmp_path / "mark.txt")
    missing = failure(DataError, read_bytes, tmp_path / "corpsu.txt")
    assert missing == f"{tmp_path / 'corpsu.txt'}: no such file. Did you mean 'corpus.txt'?"
    assert "nowhere does not exist" in failure(DataError, read_bytes, tmp_path / "nowhere" / "a.txt")
    assert "a directory" in failure(DataError, read_bytes, tmp_path)
    assert "cannot be read" in failure(DataError, read_bytes, "a\0b")
    packed = gzip.compress(b"some text that is long enough to be cut" * 9)
    for damaged in (packed[:-9], packed[:20] + b"\xff\xff" + packed[22:], packed + b"tail", packed[:2]):
        (tmp_path / "a.gz").write_bytes(damaged)
        assert "damaged gzip" in failure(DataError, read_bytes, tmp_path / "a.gz")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b""))
    assert "the file is empty" in failure(DataError, read_bytes, tmp_path / "a.gz")


@pytest.mark.parametrize(
    ("vocabulary", "layout", "expected"),
    [
        ("words", "continuous", "a\n b\nc\nd"),
        ("bytes", "continuous", b"a\r bc\nd"),
        ("bytes", "lines", b"a\r b\nc\nd"),
    ],
)
def test_files_are_joined_so_that_no_line_spans_two(tmp_path, vocabulary, layout, expected):
    for name, content in (("1", b"a\r b"), ("2", b"c\n"), ("3", b"d")):
        (tmp_path / name).write_bytes(content)
    files = [tmp_path / name for name in "123"]
    text, file_digest = read_files(files, TextConfig(vocabulary=vocabulary, layout=layout))
    assert text == expected
    assert file_digest == digest(files) != digest(files[::-1])


def test_the_default_text_is_there():
    text = default_text()
    assert len(text) > 100_000
    assert "\r" not in text
    assert text == default_text()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"layout": "line"},
            "data.layout: expected one of continuous, lines, got 'line'. Did you mean 'lines'?",
        ),
        ({"vocabulary": "word"}, "data.vocabulary: .*got 'word'. Did you mean 'words'?"),
        ({"encoding": "utf9"}, "data.encoding: 'utf9' is not a text encoding, .*Did you mean 'utf-8'?"),
        ({"encoding": "base64"}, "data.encoding: 'base64' is not a text encoding"),
        ({"minimum_count": 0}, "data.minimum_count: expected a whole number of at least 1, got 0"),
        ({"minimum_count": 1.5}, "data.minimum_count: .*got 1.5"),
        ({"maximum_size": 2}, "data.maximum_size: expected a whole number of at least 3, got 2"),
        ({"subword_size": -4}, "data.subword_size: .*got -4"),
        ({"train": "a.txt"}, "data.train: expected a list of files, got 'a.txt'"),
        ({"valid": [3]}, "data.valid: expected a list of file names, got 3"),
        ({"note_range": [60, 21]}, "data.note_range: expected two MIDI notes"),
        ({"note_range": [21]}, "data.note_range: expected two MIDI notes"),
        ({"vocabulary": "notes"}, "data.train: expected a JSON file of note sets"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(wrong, message):
    assert re.search(message.replace("?", r"\?"), failure(ConfigError, TextConfig, **wrong))


def test_paths_become_strings(tmp_path):
    assert TextConfig(train=(tmp_path / "a",)).train == [str(tmp_path / "a")]
