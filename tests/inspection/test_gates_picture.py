"""Coloured text as a picture: each glyph in its cell, on the colour of its value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coloured_text import HOSTILE, Page, activations
from recurra.errors import ConfigError
from recurra.inspection.activations import Activations
from recurra.inspection.figures import save_figure
from recurra.inspection.gate_colours import colours
from recurra.inspection.gates_picture import plot_gates, show_gates


def test_the_picture_shows_glyphs_on_the_colour_of_their_value(tmp_path: Path) -> None:
    from matplotlib.image import imread

    values = np.array([[-1.0], [1.0]] * 10)
    figure = plot_gates(Activations([" "] * 20, values, title="layer 1: h"), columns=20)
    picture = imread(save_figure(figure, tmp_path / "blank.png"))[..., :3]
    box = figure.axes[0].get_position()
    row = picture[int((1 - (box.y0 + box.y1) / 2) * picture.shape[0])]
    middles = ((box.x0 + (np.arange(20) + 0.5) / 20 * box.width) * picture.shape[1]).astype(int)
    np.testing.assert_allclose(row[middles], colours()[[0, 255] * 10], atol=0.01)
    hostile = plot_gates(activations(HOSTILE * 40), units=2)
    assert save_figure(hostile, tmp_path / "hostile.png").stat().st_size > 5_000
    written = plot_gates(Activations(["#"] * 20, values), columns=20)
    picture = imread(save_figure(written, tmp_path / "written.png"))[..., :3]
    assert np.ptp(picture[:, middles[0] - 3 : middles[0] + 3].mean(2), axis=1).max() > 0.2


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_the_scale_below_is_that_of_the_values(low: float) -> None:
    values = np.random.default_rng(2).uniform(low, 1, (9, 2))
    scale = plot_gates(Activations(list("some text"), values, low=low), 2).axes[-1]
    np.testing.assert_allclose(scale.images[0].get_array()[0], colours(low < 0))
    assert scale.get_xlim() == (low, 1)
    assert ("−1 to 1" in scale.get_xlabel()) == (low < 0)


def test_a_long_text_is_cut_and_the_heading_says_so() -> None:
    figure = plot_gates(activations(["word"] * 1000, cell="LSTM, 3 units"), units=1, columns=20)
    assert figure.texts[-1].get_text() == "LSTM, 3 units, the first 96 of 1,000 symbols"
    with pytest.raises(ConfigError, match="columns: expected a whole number of at least 10, got 9"):
        plot_gates(activations(["a"]), 1, columns=9)


def test_picture_and_page_are_saved_and_the_numbers_kept(tmp_path: Path) -> None:
    shown = show_gates(activations([*"some text", "漢"], name="forget", layer=2, title="layer 2: forget"), 2)
    files = shown.save(tmp_path / "plots" / "it.png")
    assert [path.name for path in files] == ["it.png", "it.html"]
    assert len(Page(files[1].read_text(encoding="utf-8")).symbols) == 10
    assert shown.notes == ["the picture has boxes for 漢; the page has the characters."]
    assert (shown.record["name"], shown.record["layer"]) == ("forget", 2)
    expected = activations([*"some text", "漢"])
    assert list(shown.record["units"]) == expected.by_interest()[:2].tolist()
    for unit, values in shown.record["units"].items():
        assert values == expected.values[:, unit].tolist()
    with pytest.raises(ConfigError, match="units: expected a whole number of at least 1, got 0"):
        show_gates(expected, 0)
