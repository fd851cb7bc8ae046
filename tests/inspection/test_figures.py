"""The common look: headings, text that fits, legends outside the data, and files that are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

import recurra.durable
from recurra.inspection.figures import (
    FAINT,
    LARGE,
    MOST_PIXELS,
    PALETTE,
    PIXELS_PER_INCH,
    SMALL,
    diverging,
    legend_above,
    legend_below,
    line_style,
    new_figure,
    plain_log,
    save_csv,
    save_figure,
    save_text,
    sequential,
    shortened,
    style,
    text_width,
    thousands,
    wrapped,
)


def test_a_heading_takes_its_room_above_the_figure() -> None:
    bare, headed = new_figure(4, 2), new_figure(4, 2, "a title", "and a note")
    assert bare.get_size_inches().tolist() == [4, 2]
    assert headed.get_size_inches()[1] > 2.3
    axes = headed.add_subplot()
    headed.canvas.draw()
    top = axes.get_tightbbox().y1
    assert top <= 2.001 * PIXELS_PER_INCH
    for text in headed.texts:
        assert text.get_window_extent().y0 >= 2 * PIXELS_PER_INCH - 1
    assert [text.get_fontsize() for text in headed.texts] == [LARGE, SMALL]


def test_a_figure_is_never_wider_than_1600_pixels() -> None:
    assert new_figure(30, 2).get_size_inches()[0] * PIXELS_PER_INCH == pytest.approx(MOST_PIXELS)


def test_a_heading_of_any_characters_is_drawn_as_text(tmp_path: Path) -> None:
    figure = new_figure(4, 1, "$a_$ {x} \u0378 שלום \\alpha", "a $\\frac{ note")
    save_figure(figure, tmp_path / "it.png")  # a glyph that is missing would warn, and a warning fail
    assert "\ufffd" in figure.get_suptitle()


def test_text_is_wrapped_between_words_and_shortened_where_it_must_be() -> None:
    lines = wrapped("some words that do not fit into one line of two inches", 2.0, 9)
    assert " ".join(lines) == "some words that do not fit into one line of two inches"
    assert len(lines) > 1
    assert all(text_width(line, 9) <= 2.0 for line in lines)
    few = wrapped("word " * 100, 1.0, 9, most=3)
    assert len(few) == 3
    assert few[-1].endswith("…")
    assert all(text_width(line, 9) <= 1.0 for line in few)
    assert shortened("short", 2.0, 9) == "short"
    assert shortened("x" * 200, 0.5, 9).endswith("x…")
    assert text_width("x" * 20, 18) == pytest.approx(2 * text_width("x" * 20, 9), rel=0.1)


def test_lines_are_told_apart_by_colour_then_by_dash() -> None:
    looks = [tuple(line_style(index).values()) for index in range(4 * len(PALETTE))]
    assert len(set(looks)) == len(looks)
    assert [colour for colour, _ in looks[:7]] == list(PALETTE)


def test_maps_for_shares_grow_darker_and_those_for_signs_have_two_sides() -> None:
    shades = [sum(sequential()(share / 10)[:3]) for share in range(11)]
    assert shades == sorted(shades, reverse=True)
    middle = sum(diverging()(0.5)[:3])
    assert middle > sum(diverging()(0.0)[:3])
    assert middle > sum(diverging()(1.0)[:3])


def test_logarithmic_ticks_are_plain_numbers() -> None:
    axes = new_figure(4, 3).add_subplot()
    axes.set_yscale("log")
    for low, high, expected in (
        (1e-6, 1e3, {"0.000001", "0.01", "1"}),
        (0.2, 7, {"0.5", "1", "5"}),
        (0.8, 1.6, {"0.8", "1", "1.2", "1.4"}),
    ):
        axes.set_ylim(low, high)
        plain_log(axes.yaxis)
        written = {axes.yaxis.get_major_formatter()(tick) for tick in axes.get_yticks()}
        assert expected <= written
    assert axes.yaxis.get_major_formatter()(1000.0) == "1,000"
    thousands(axes.xaxis)
    assert axes.xaxis.get_major_formatter()(12_500.0) == "12,500"
    assert axes.xaxis.get_major_formatter()(0.25) == "0.25"


@pytest.mark.parametrize("label", ["short", "a label of many words " * 9, "$x_$"])
def test_legends_stand_outside_the_axes_and_inside_the_figure(label: str) -> None:
    with style():
        figure = new_figure(5, 4, "title")
        axes = figure.add_subplot()
        for index in range(5):
            axes.plot([0, 1], [index, 1], label=f"{index} {label}", **line_style(index))
        axes.set_title("panel", pad=legend_above(axes, 4.0))
        legend_below(figure, axes)
        figure.canvas.draw()
    above, below = axes.get_legend(), figure.legends[0]
    assert above is not None
    plot, whole, title = axes.get_window_extent(), figure.bbox, axes.get_window_extent()
    title = axes._left_title.get_window_extent()  # type: ignore[attr-defined]
    assert above.get_window_extent().y0 >= plot.y1 - 1
    assert above.get_window_extent().y1 <= title.y0 + 1
    assert below.get_window_extent().y1 <= plot.y0
    for legend in (above, below):
        assert legend.get_window_extent().x1 <= whole.x1
        assert len(legend.get_texts()) == 5


def test_the_style_is_left_behind_after_drawing() -> None:
    import matplotlib

    before = matplotlib.rcParams["grid.color"]
    with style():
        assert matplotlib.rcParams["grid.color"] == FAINT
    assert matplotlib.rcParams["grid.color"] == before


def test_files_are_whole_or_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "it.csv"
    assert save_csv(("a", "b"), [(1, "x,y"), (2, 'q"\n')], path) == path
    assert path.read_bytes() == b'a,b\n1,"x,y"\n2,"q""\n"\n'
    assert save_text("ä\n", tmp_path / "it.html").read_bytes() == "ä\n".encode()

    def refuse(path: Path, data: bytes) -> None:
        path.write_bytes(data[:3])
        raise OSError("the disk is full")

    monkeypatch.setattr(recurra.durable, "write_flushed", refuse)
    with pytest.raises(OSError, match="full"):
        save_csv(("c",), [], path)
    assert path.read_bytes().startswith(b"a,b\n")
    assert [each.name for each in path.parent.iterdir()] == ["it.csv"]
