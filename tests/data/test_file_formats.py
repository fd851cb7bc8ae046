"""Formats that are no plain text are named, with a remedy."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from recurra.data.file_formats import STANDARD_INPUT, check_plain
from recurra.data.text import decode_text
from recurra.errors import DataError

TEXT = ("The cat sat on the mat.\n" * 40).encode()


def zipped(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "/"), content)
    return data.getvalue()


def tarred() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return data.getvalue()


def checkpoint() -> bytes:
    data = io.BytesIO()
    torch.save({"a": torch.ones(2)}, data)
    return data.getvalue()


def array() -> bytes:
    data = io.BytesIO()
    np.save(data, np.ones(2))
    return data.getvalue()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table a (b)")
    return connection.serialize()


FOREIGN = {
    "packed by gzip": (gzip.compress(TEXT), "gzip -d FILE", "zcat FILE | recurra"),
    "packed by xz": (lzma.compress(TEXT), "xz -d FILE", "xzcat FILE | recurra"),
    "packed by bzip2": (bz2.compress(TEXT), "bzip2 -d FILE", "bzcat FILE | recurra"),
    "packed by zstd": (b"\x28\xb5\x2f\xfd" + TEXT, "zstd -d FILE", "zstdcat FILE | recurra"),
    "a zip archive": (zipped(a=TEXT), "unzip FILE", ""),
    "a Word document": (zipped(word_document=TEXT), "as plain text", ""),
    "a tar archive": (tarred(), "tar -xf FILE", ""),
    "a PDF": (b"%PDF-1.7\n%\xe2\xe3", "pdftotext FILE", ""),
    "an SQLite database": (database(), "", ""),
    "a safetensors file": (save({"a": torch.ones(2)}), "Give a text file", ""),
    "a Python pickle": (pickle.dumps([TEXT]), "Give a text file", ""),
    "a PyTorch checkpoint": (checkpoint(), "Give a text file", ""),
    "a NumPy array": (array(), "", ""),
    "UTF-16 text": (TEXT.decode().encode("utf-16"), "--data.encoding utf-16", "iconv -f UTF-16 -t UTF-8"),
    "UTF-32 text": (TEXT.decode().encode("utf-32"), "--data.encoding utf-32", "iconv -f UTF-32 -t UTF-8"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_plain_text_is_named(kind):
    data, remedy, streamed = FOREIGN[kind]
    for encoding in ("utf-8", "latin-1"):
        with pytest.raises(DataError) as caught:
            decode_text(data, encoding, "some.file")
        assert str(caught.value).startswith("some.file: this is ")
        assert kind in str(caught.value)
        assert remedy in str(caught.value)
        with pytest.raises(DataError) as caught:
            check_plain(data[:600], STANDARD_INPUT, encoding)
        assert str(caught.value).startswith("standard input is ")
        assert kind in str(caught.value)
        assert (streamed or remedy) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["BZh is no word", "12345678 {", "PK was here", "a" * 257 + "user", "\u0080", "", "GIF"]
)
def test_text_that_looks_a_little_like_it_is_text(text):
    check_plain(text.encode(), "a", "utf-8")
    check_plain(text.encode("utf-16"), "a", "utf-16")
