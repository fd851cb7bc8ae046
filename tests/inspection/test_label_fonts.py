"""Labels in any script: fonts, what lacks one, direction and width."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.textpath import TextPath

from recurra.inspection.label_fonts import LabelFonts, label_fonts, printable, right_to_left, visible, width

# Not assigned: no font but the one of placeholders has a glyph for it.
NOWHERE = "\u0378"


def test_the_font_that_matplotlib_brings_draws_latin_hebrew_and_arabic():
    fonts = label_fonts(["▁straße", "Ünïcödé", "שלום", "سلام", "می\u200cخواهم", "λόγος", "слово", "␣"])
    assert fonts == LabelFonts(("DejaVu Sans",), "")
    assert fonts.note("") == ""


def test_a_character_without_a_glyph_is_named_and_its_label_numbered():
    fonts = label_fonts(["ab", f"x{NOWHERE}", "c"])
    assert fonts == LabelFonts(("DejaVu Sans",), NOWHERE)
    assert fonts.written(["ab", f"x{NOWHERE}", "c"]) == ["ab", "[2]", "c"]
    assert fonts.prose(f"a{NOWHERE}b") == "a\ufffdb"
    note = fonts.note("there are numbers")
    assert NOWHERE in note
    assert "there are numbers" in note
    assert "fonts-noto-core" in note
    assert "fonts-noto-cjk" in LabelFonts(("DejaVu Sans",), "漢字").note("")


def test_fonts_beyond_the_first_are_added_where_they_are_installed():
    fonts = label_fonts(["漢字", "かな", "abc"])
    if fonts.missing:
        pytest.skip(f"no font here has {fonts.missing}: on Debian, apt-get install fonts-noto-cjk brings one")
    assert fonts.families[0] == "DejaVu Sans"
    assert len(fonts.families) > 1


def test_right_to_left_words_are_drawn_in_reading_order_and_arabic_letters_are_joined():
    forced = "\u202d" + "שלום"[::-1] + "\u202c"  # the letters from left to right as given
    np.testing.assert_allclose(
        TextPath((0, 0), "שלום", size=10).vertices, TextPath((0, 0), forced, size=10).vertices
    )
    apart = [TextPath((0, 0), letter, size=10) for letter in "سلام"]
    joined = TextPath((0, 0), "سلام", size=10)
    assert len(joined.vertices) != sum(len(letter.vertices) for letter in apart)


def test_what_does_not_print_has_a_sign():
    assert [visible(symbol) for symbol in ["a b", "\n", "\x00", "", "می\u200cخ", "▁the"]] == [
        "a␣b", "↵", "\ufffd", "∅", "می\u200cخ", "▁the",
    ]  # fmt: skip


def test_every_kind_of_space_is_a_space_and_a_sign_only_in_a_label():
    """French sets a narrow no-break space, U+202F, before its question marks."""
    assert printable("où\u202f?\u00a0») \u2009") == "où ? »)  "
    assert visible("où\u202f?\u00a0»") == "où␣?␣»"
    assert printable("a\nb\x07") == "a↵b\ufffd"


def test_direction_and_width():
    assert right_to_left(["שלום", "a", "<eos>"]) is False  # as many either way
    assert right_to_left(["שלוםם", "a", "eos"])
    assert right_to_left(["مرحبا", "12", "."])
    assert not right_to_left(["12", "."])
    assert [width(text) for text in ["abc", "漢字", "e\u0301", ""]] == [3, 4, 1, 0]
