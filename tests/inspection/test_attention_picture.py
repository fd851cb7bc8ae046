"""Attention drawn: every weight in its cell, every label as text, in any script."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread

from recurra.errors import ShapeError
from recurra.inspection.attention_html import attention_page
from recurra.inspection.attention_picture import MOST, Alignment, plot_attention, save_attention
from recurra.inspection.label_fonts import LabelFonts, label_fonts

LATIN = LabelFonts(("DejaVu Sans",), "")
HOSTILE = ["<script>", "&", '"', "{x}", "$a_$", "\\alpha", "\x00", " ", "▁the", "<eos>"]


def alignment(source: list[str], target: list[str], **options: object) -> Alignment:
    weights = np.random.default_rng(7).dirichlet(np.ones(len(source)), len(target))
    return Alignment(source, target, weights, **options)  # type: ignore[arg-type]


class Table(HTMLParser):
    """The labels of a page, and the weights and colours of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.labels: dict[str, list[str]] = {"col": [], "row": []}
        self.unknown: list[bool] = []
        self.cells: list[tuple[float, str]] = []
        self._into: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        held = dict(attributes)
        self.tags.append(tag)
        if tag == "th":
            self._into = self.labels[held["scope"] or ""]
            self._into.append("")
            self.unknown.append(held.get("class") == "unknown")
        if tag == "td" and "title" in held:
            self.cells.append((float(held["title"] or "nan"), held["style"] or ""))

    def handle_endtag(self, tag: str) -> None:
        self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data


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


def test_files_are_written_whatever_the_labels_and_the_page_has_them_as_text(tmp_path) -> None:
    drawn = alignment(HOSTILE, HOSTILE[3:], unknown=frozenset({1, 8}), title="<b>run</b> {y}")
    files, note = save_attention(drawn, tmp_path / "plots" / "it.png")
    assert [file.name for file in files] == ["it.png", "it.html"]
    assert note == ""
    assert np.ptp(imread(files[0])) > 0.5
    page = files[1].read_text(encoding="utf-8")
    table = Table(page)
    shown = ["<script>", "&", '"', "{x}", "$a_$", "\\alpha", "\ufffd", "␣", "▁the", "<eos>"]
    assert table.labels == {"col": shown, "row": shown[3:]}
    assert [number for number, is_unknown in enumerate(table.unknown) if is_unknown] == [1, 8]
    weights = [weight for weight, _ in table.cells]
    np.testing.assert_allclose(weights, drawn.weights.ravel(), atol=5e-4)
    reds = [int(style[12:14], 16) for _, style in table.cells]
    assert reds[int(np.argmax(weights))] < reds[int(np.argmin(weights))] == 255
    assert "script" not in table.tags
    assert "b" not in table.tags
    assert not re.search(r"https?://|src=|@import", page)


def test_labels_without_a_font_are_numbers_in_the_picture_and_text_on_the_page(tmp_path) -> None:
    drawn = alignment(["漢字", "ab", "字"], ["x", "漢"], title="漢")
    fonts = LabelFonts(("DejaVu Sans",), "字漢")
    figure = plot_attention(drawn, fonts)
    figure.savefig(tmp_path / "it.png")  # a glyph that is missing would warn, and a warning fail
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["[1]", "ab", "[3]"]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "[2]"]
    assert Table(attention_page(drawn)).labels == {"col": ["漢字", "ab", "字"], "row": ["x", "漢"]}
    files, note = save_attention(drawn, tmp_path / "own.png")
    assert (note == "") == (label_fonts(["漢字"]).missing == "")
    assert len(files) == 2


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


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (np.full((2, 2), 0.5), "got \\[2, 2\\]"),
        (np.full((2, 3), np.nan), "from 0 to 1"),
        (np.array([[0.5, 0.7, -0.2]] * 2), "from 0 to 1"),
        (np.array([[0.1, 0.2, 1.2]] * 2), "from 0 to 1"),
    ],
)
def test_other_weights_are_refused(weights: np.ndarray, expected: str) -> None:
    with pytest.raises(ShapeError, match=expected):
        Alignment(["a", "b", "c"], ["x", "y"], weights)
