from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recurra.data import subwords as subwords_module, vocabulary
from recurra.data.subwords import Subwords
from recurra.data.vocabularies import load_vocabulary
from recurra.errors import ConfigError, DataError, RunError

TEXT = "the cat sat on the mat\nthe dog sat on the log, and then\n\na cat and a dog sang\n" * 5


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
    return Subwords.build(TEXT, size=40)


def test_ends_every_line(subwords):
    ids = subwords.encode(TEXT)
    assert ids.dtype == np.int64
    assert np.count_nonzero(ids == subwords.eos_id) == TEXT.count("\n")
    assert np.array_equal(subwords.encode(TEXT.removesuffix("\n")), ids)
    assert np.array_equal(subwords.encode_line("the cat\na"), subwords.encode("the cat\na")[:-1])
    assert subwords.symbols[:2] == ["<eos>", "<unk>"]
    assert 10 < len(subwords) <= 40
    assert ids.max() < len(subwords)


@settings(max_examples=50, deadline=None)
@given(lines=st.lists(st.text("acdeghlmnost ,", max_size=12), min_size=1, max_size=5))
def test_comes_back(subwords, lines):
    text = "".join(line + "\n" for line in lines)
    assert subwords.decode(subwords.encode(text)) == text


def test_lines_are_rows_whatever_they_hold(subwords, monkeypatch):
    lines = ["the cat", "", "<eos> sat", "<unk>", "☃", "a dog  ", " "]
    rows = subwords.encode_lines(lines)
    for row, line in zip(rows, lines, strict=True):
        assert row.tolist() == [*subwords.encode_line(line).tolist(), 0]
        assert np.count_nonzero(row == 0) == 1
    assert np.array_equal(rows.ids, subwords.encode("\n".join(lines)))
    monkeypatch.setattr(vocabulary, "BLOCK", 9)
    assert np.array_equal(subwords.encode_lines(lines).ids, rows.ids)
    assert len(subwords.encode_lines([])) == len(subwords.encode("")) == 0


def test_unknown_characters_are_unk(subwords):
    assert subwords.unk_id in subwords.encode("☃").tolist()
    assert "\ufffd" in subwords.decode(subwords.encode("☃"))


def test_saved_and_loaded_it_is_the_same(subwords, tmp_path):
    subwords.save(tmp_path)
    loaded = load_vocabulary(tmp_path)
    assert loaded.digest == subwords.digest
    assert np.array_equal(loaded.encode(TEXT), subwords.encode(TEXT))


def test_a_damaged_or_missing_model_is_refused(subwords, tmp_path):
    subwords.save(tmp_path)
    (tmp_path / "subword.model").write_bytes(b"other")
    with pytest.raises(RunError, match=r"subword\.model: damaged or foreign"):
        load_vocabulary(tmp_path)
    (tmp_path / "subword.model").unlink()
    with pytest.raises(RunError, match=r"subword\.model: cannot be read"):
        load_vocabulary(tmp_path)


@pytest.mark.parametrize("data", [b"", b"not a model", "a subword that is no UTF-8"])
def test_a_foreign_model_with_a_fitting_digest_is_refused(subwords, tmp_path, data):
    subwords.save(tmp_path)
    if isinstance(data, str):
        data = (tmp_path / "subword.model").read_bytes().replace("▁".encode(), b"\xe2\xfe\xfe")
    (tmp_path / "subword.model").write_bytes(data)
    content = json.loads((tmp_path / "vocabulary.json").read_text())
    content["model_sha256"] = hashlib.sha256(data).hexdigest()
    (tmp_path / "vocabulary.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"subword\.model: damaged"):
        load_vocabulary(tmp_path)


@pytest.mark.usefixtures("subwords")
def test_a_size_too_small_or_a_text_of_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"data\.subword_size: 5 does not suit this text") as caught:
        Subwords.build(TEXT, size=5)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="only <eos> and <unk>"):
        Subwords.build(" \n\t\n")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ConfigError, match=r"pip install \"recurra\[subword\]\""):
        Subwords.build(TEXT)


def test_one_long_line_counts_as_a_whole(subwords, monkeypatch):
    monkeypatch.setattr(subwords_module, "LONGEST", 60)  # else a line of a megabyte is too long
    line = "the cat sat on the mat " * 30
    pieces = list(subwords_module._sentences(f"{line}\n\nzebra quiz"))
    assert max(map(len, pieces)) <= 60
    assert " ".join(pieces).split() == f"{line} zebra quiz".split()
    assert list(subwords_module._sentences("a" * 150 + " b  c")) == ["a" * 60, "a" * 60, "a" * 30 + " b  c"]
    for text in (" " * 130 + "a", f" {'a' * 60} {'b' * 60}  c", f"  {'a' * 61}"):
        cut = list(subwords_module._sentences(text))
        assert max(map(len, cut)) <= 60
        assert "".join(cut).replace(" ", "") == text.replace(" ", "")
    built = Subwords.build(f"{line}\nzebra quiz", size=60)
    assert set("thecatsonmzbrquiz") <= set("".join(built.symbols[2:]))


def test_a_line_over_a_mebibyte_is_learned_from():
    pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
    built = Subwords.build("the cat sat on the mat " * 50_000 + "\nzebra", size=60)
    line = "the cat sat on a mat"
    assert built.decode(built.encode(line + "\n")) == line + "\n"


@pytest.mark.parametrize(
    "line", ["<eos> and <unk> and <s>", "a ▅ b▅", "a\tb\x1f", "e\u0301 ﬁ ａ", "\r\x85\u2028 \xa0", "  a  b "]
)
def test_what_the_trainer_reserves_is_text(subwords, line):
    built = Subwords.build(f"{TEXT}{line}\n", size=80)
    assert built.symbols[:2] == ["<eos>", "<unk>"]
    assert built.decode(built.encode(line)) == line + "\n"
    assert built.unk_id not in built.encode(line)
