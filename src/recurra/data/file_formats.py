"""Formats that are no plain text, told by their first bytes: what they are called, and how to make text of them."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from recurra.errors import DataError

STANDARD_INPUT = "standard input"
"""What standard input is called in messages, in the place of a file's name."""


@dataclass(frozen=True)
class Format:
    """A format that is not plain text.

    Attributes:
        magic: the bytes that a file of it holds at `at`.
        name: what such a file is called, with its article.
        remedy: what to do with a file.
        streamed: what to do where it comes on standard input; empty: the same.
        at: where the magic stands.
    """

    magic: bytes
    name: str
    remedy: str
    streamed: str = ""
    at: int = 0


def _packed(magic: bytes, name: str, unpack: str, pipe: str) -> Format:
    return Format(
        magic,
        f"a file packed by {name}",
        f"Unpack it first: {unpack} FILE",
        f"Unpack it first: {pipe} FILE | recurra ...",
    )


_AS_TEXT = "Save or export it as plain text first."
_NO_TEXT = "Give a text file."

FORMATS = (
    _packed(b"\x1f\x8b", "gzip", "gzip -d", "zcat"),
    _packed(b"\xfd7zXZ\x00", "xz", "xz -d", "xzcat"),
    _packed(b"BZh", "bzip2", "bzip2 -d", "bzcat"),
    _packed(b"\x28\xb5\x2f\xfd", "zstd", "zstd -d", "zstdcat"),
    _packed(b"\x04\x22\x4d\x18", "lz4", "lz4 -d", "lz4cat"),
    _packed(b"\x1f\x9d", "compress", "uncompress", "zcat"),
    Format(b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it first: 7z x FILE"),
    Format(b"Rar!\x1a\x07", "a RAR archive", "Unpack it first: unrar x FILE"),
    Format(b"ustar", "a tar archive", "Unpack it first: tar -xf FILE", at=257),
    Format(b"%PDF-", "a PDF", "Make text of it first: pdftotext FILE"),
    Format(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Word or Excel document", _AS_TEXT),
    Format(b"SQLite format 3\x00", "an SQLite database", _AS_TEXT),
    Format(b"PAR1", "a Parquet file", _AS_TEXT),
    Format(b"ARROW1", "an Arrow file", _AS_TEXT),
    Format(b"\x89HDF\r\n\x1a\n", "an HDF5 file", _AS_TEXT),
    Format(b"\x93NUMPY", "a NumPy array", _AS_TEXT),
    Format(b'{"', "a safetensors file (weights)", _NO_TEXT, at=8),
    *(Format(bytes([0x80, n]), "a Python pickle", _NO_TEXT) for n in range(2, 6)),
    Format(b"\x7fELF", "a program", _NO_TEXT),
    Format(b"\x89PNG\r\n\x1a\n", "a PNG picture", _NO_TEXT),
    Format(b"\xff\xd8\xff", "a JPEG picture", _NO_TEXT),
    Format(b"GIF8", "a GIF picture", _NO_TEXT),
)

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_IN_ZIP = (
    (b"word/", "a Word document", _AS_TEXT),
    (b"xl/", "an Excel workbook", _AS_TEXT),
    (b"ppt/", "a PowerPoint presentation", _AS_TEXT),
    (b"opendocument", "an OpenDocument file", _AS_TEXT),
    (b"application/epub", "an EPUB book", _AS_TEXT),
    (b"data.pkl", "a PyTorch checkpoint", _NO_TEXT),
    (b"", "a zip archive", "Unpack it first: unzip FILE"),
)
"""What else is a zip archive, by what it holds near its beginning; the last one serves all others."""

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

LOOKED_AT = 4096
"""How many bytes from the beginning decide."""


def check_plain(data: bytes, name: str, encoding: str) -> None:
    """Refuse what begins like a format that is not plain text.

    Args:
        data: of a file or of standard input, from its beginning; `LOOKED_AT` bytes are enough.
        name: of the file, or `STANDARD_INPUT`.
        encoding: in which it is about to be read.

    Raises:
        DataError: naming the format and the remedy.
    """
    data = data[:LOOKED_AT]
    streamed = name == STANDARD_INPUT
    found = None if is_wide(encoding) else _wide(data)
    if found is None:
        found = _in_zip(data) or next((one for one in FORMATS if _is(one, data)), None)
    if found is not None:
        remedy = (found.streamed if streamed else "") or found.remedy
        verb = "is" if streamed else "this is"
        raise DataError(
            f"{name}{' ' if streamed else ': '}{verb} {found.name}; expected plain text. {remedy}"
        )


def is_wide(encoding: str) -> bool:
    """Whether the characters of an encoding are units of two or four bytes (UTF-16, UTF-32)."""
    return encoding.lower().replace("_", "-").startswith(("utf-16", "utf16", "utf-32", "utf32", "u16", "u32"))


def _is(one: Format, data: bytes) -> bool:
    if data[one.at : one.at + len(one.magic)] != one.magic:
        return False
    if one.magic == b"BZh":  # three letters are too few: the digit of its size and pi follow
        return data[4:10] == b"1AY&SY"
    # Eight bytes before the brace are the length of the header, whose upper bytes are 0.
    return one.at != 8 or data[5:8] == b"\0\0\0"


def _in_zip(data: bytes) -> Format | None:
    if not data.startswith(_ZIP):
        return None
    name, remedy = next((name, remedy) for inside, name, remedy in _IN_ZIP if inside in data)
    return Format(b"PK", name, remedy)


def _wide(data: bytes) -> Format | None:
    """Text in UTF-16 or UTF-32, told by its byte order mark."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            convert = f"Convert it first: iconv -f {encoding.upper()} -t UTF-8 FILE"
            file_remedy = f"{convert}, or pass --data.encoding {encoding} where the command takes it"
            return Format(mark, f"{encoding.upper()} text", file_remedy, f"{convert} | recurra ...")
    return None
