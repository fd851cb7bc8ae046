"""Symbols on lines: where they wrap, and whether there is a space between them."""

from __future__ import annotations

import itertools

import pytest

from recurra.inspection.symbols_in_lines import apart, layout


def test_lines_wrap_between_symbols_and_end_where_the_text_does() -> None:
    cells = layout(list("abc\nde") + ["f"] * 4, columns=4)
    assert [(c.line, c.column, c.text) for c in cells] == [
        (0, 0, "a"), (0, 1, "b"), (0, 2, "c"), (0, 3, "↵"), (1, 0, "d"), (1, 1, "e"), (1, 2, "f"), (1, 3, "f"),
        (2, 0, "f"), (2, 1, "f"),
    ]  # fmt: skip
    words = layout(["one", "three", "\n", "a-word-too-long", "x"], columns=10)
    assert [(c.line, c.column, c.text) for c in words] == [
        (0, 0, "one"), (0, 4, "three"), (1, 0, "↵"), (2, 0, "a-word-too"), (3, 0, "x"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        (list("abc\nd"), False),
        ([*"une question", "\\u202f", "?", "<eos>"], False),
        (["it\n", "i\n"], False),
        (["I", "think", "a", "dog"], False),
        (["I", "think", "that", "dog"], True),
        (["\n"], False),
        ([], False),
    ],
)
def test_words_stand_apart_and_characters_do_not_even_with_a_few_long_labels_among_them(
    symbols: list[str], expected: bool
) -> None:
    assert apart(symbols) == expected
    if symbols:
        cells = layout(symbols, columns=80)
        gaps = {
            after.column - one.column - len(one.text)
            for one, after in itertools.pairwise(cells)
            if one.line == after.line
        }
        assert gaps <= {int(expected)}
