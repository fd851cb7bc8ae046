"""What of a text is unknown, in words."""

from __future__ import annotations

import pytest

from recurra.data.subwords import Subwords
from recurra.data.unknown import count_unknown, note_on_unknown, unknown_parts
from recurra.data.vocabulary import Bytes, Characters, Words

TEXT = "the cat sat on the mat\nthe dog sat on the log\n" * 20


@pytest.mark.parametrize(
    ("vocabulary", "unknown", "parts"),
    [
        (Words.build(TEXT), 2, ["çat", "zß"]),
        (Characters.build(TEXT), 3, ["ç", "z", "ß"]),
        (Subwords.build(TEXT, 30), 2, ["ç", "z", "ß"]),  # neighbours are one unknown subword
        (Bytes(), 0, []),
    ],
)
def test_what_is_unknown_is_counted_and_named_once(vocabulary, unknown, parts):
    text = "the çat sat on zß\n"
    ids = vocabulary.encode_line(text)
    assert count_unknown(vocabulary, ids) == unknown
    assert unknown_parts(vocabulary, text + text) == parts
    note = note_on_unknown(vocabulary, text, ids, "the prompt")
    assert (note == "") == (not parts)
    if parts:
        assert note.startswith(f"{unknown} of {len(ids)} symbols (")
        assert note.endswith(f" of the prompt are unknown to the vocabulary: {', '.join(map(repr, parts))}")


def test_the_note_stays_short():
    note = note_on_unknown(
        words := Words.build(TEXT), text := "x" * 900, words.encode_line(text), "the source"
    )
    assert note == f"1 of 1 symbol (100 %) of the source is unknown to the vocabulary: {'x' * 20!r}"
    text = " ".join(map(str, range(1000)))
    assert note_on_unknown(words, text, words.encode_line(text), "it").endswith("'6', '7', ...")
