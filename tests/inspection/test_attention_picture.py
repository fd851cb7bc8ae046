"""Attention drawn: every weight in its cell, every label as text, in any script."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from attention_table import Table
from recurra.inspection.alignment import Alignment
from recurra.inspection.attention_html import attention_page
from recurra.inspection.attention_picture import MOST, plot_attention, show_attention
from recurra.inspection.figures import MOST_PIXELS, PIXELS_PER_INCH
from recurra.inspection.label_fonts import LabelFonts, label_fonts

LATIN = LabelFonts(("DejaVu Sans",), "")
HOSTILE = ["<script>", "&", '"', "{x}", "$a_$", "\\alpha", "\x00", " ", "▁the", "<eos>"]


def alignment(source: list[str], target: list[str], **options: object) -> Alignment:
    weights = np.random.default_rng(7).dirichlet(np.ones(len(source)), len(target))
    return Alignment(source, target, weights, **options)  # type: ignore[arg-type]


def test_targets_go_down_and_sources_across() -> None:
    drawn = alignment(["ein", "hund", "<eos>"], ["a", "dog", "!", "<eos>"], title="run $x$")
    figure = plot_attention(drawn, LATIN)
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), drawn.weights)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ein", "hund", "<eos>"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "dog", "!", "<eos>"]
    assert axes.get_xlim()[0] < axes.get_xlim()[1]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_a_right_to_left_source_runs_from_the_right() -> None:
    drawn = alignment(["وصل", "الرئيس", "مساء", "<eos>"], ["the", "president"])
    figure = plot_attention(drawn, label_fonts(drawn.source))
    axes = figure.axes[0]
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(drawn.source)
    assert 'table dir="rtl"' in attention_page(drawn)
    hebrew = alignment(["the", "president"], ["הנשיא", "הגיע"])
    axes = plot_attention(hebrew, label_fonts(hebrew.target)).axes[0]
    assert axes.get_xlim()[0] < axes.get_xlim()[1]
    assert 'table dir="ltr"' in attention_page(hebrew)


def test_files_are_written_whatever_the_labels(tmp_path) -> None:
    drawn = alignment(HOSTILE, HOSTILE[3:], unknown=frozenset({1, 8}), title="<b>run</b> {y}")
    shown = show_attention(drawn)
    files = shown.save(tmp_path / "plots" / "it.png")
    assert [file.name for file in files] == ["it.png", "it.html"]
    assert shown.notes == []
    assert np.ptp(imread(files[0])) > 0.5


def test_labels_without_a_font_are_numbers_in_the_picture_and_text_on_the_page(tmp_path) -> None:
    drawn = alignment(["漢字", "ab", "字"], ["x", "漢"], title="漢")
    fonts = LabelFonts(("DejaVu Sans",), "字漢")
    figure = plot_attention(drawn, fonts)
    figure.savefig(tmp_path / "it.png")  # a glyph that is missing would warn, and a warning fail
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["[1]", "ab", "[3]"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "[2]"]
    assert Table(attention_page(drawn)).labels == {"col": ["漢字", "ab", "字"], "row": ["x", "漢"]}
    shown = show_attention(drawn)
    assert (shown.notes == []) == (label_fonts(["漢字"]).missing == "")
    assert len(shown.save(tmp_path / "it.png")) == 2


def test_a_font_for_chinese_is_used_where_one_is_installed(tmp_path) -> None:
    drawn = alignment([*list("我喜欢学习"), "<eos>"], ["▁I", "▁like", "▁learn", "ing", "<eos>"])
    fonts = label_fonts([*drawn.source, *drawn.target])
    if fonts.missing:
        pytest.skip(f"no font here has {fonts.missing}; apt-get install fonts-noto-cjk brings one")
    figure = plot_attention(drawn, fonts)
    figure.savefig(tmp_path / "it.png")
    assert figure.axes[0].get_xticklabels()[0].get_text() == "我"


def test_the_figure_grows_with_the_sentences_up_to_a_limit_that_it_states() -> None:
    sizes = [plot_attention(alignment(["a"] * n, ["b"] * 5), LATIN).get_size_inches() for n in (10, 30)]
    assert sizes[1][0] > 2 * sizes[0][0]
    assert sizes[1][1] == sizes[0][1]
    long = alignment(["a"] * (MOST + 9), ["b"] * 3, title="run")
    figure = plot_attention(long, LATIN)
    assert figure.axes[0].images[0].get_array().shape == (3, MOST)
    assert f"first {MOST}" in figure.get_suptitle()
    assert len(Table(attention_page(long)).cells) == 3 * (MOST + 9)


@pytest.mark.parametrize("symbols", [30, 52, 200])
def test_long_sides_get_smaller_cells_and_are_cut_so_that_the_picture_stays_narrow(symbols: int) -> None:
    figure = plot_attention(alignment(["abcdef"] * symbols, ["incomprehensible"] * 4), LATIN)
    assert figure.get_size_inches()[0] * PIXELS_PER_INCH <= MOST_PIXELS
    assert figure.axes[0].images[0].get_array().shape == (4, min(symbols, MOST))
    angles = {label.get_rotation() for label in figure.axes[0].get_xticklabels()}
    assert angles == ({55.0} if symbols == 30 else {90.0})


def test_a_label_that_is_too_long_is_shortened() -> None:
    figure = plot_attention(alignment(["a", "b" * 90], ["x"]), LATIN)
    first, second = (label.get_text() for label in figure.axes[0].get_xticklabels())
    assert first == "a"
    assert second.startswith("bbbb")
    assert second.endswith("…")
    assert len(second) < 40


def test_what_is_shown_holds_the_weights(tmp_path) -> None:
    drawn = alignment(["a", "b"], ["x"], title="run")
    shown = show_attention(drawn)
    assert shown.record["weights"] == drawn.weights.tolist()
    assert shown.page == attention_page(drawn)
