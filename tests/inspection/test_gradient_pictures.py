"""Gradient flow drawn: colours by decades, lags up to half the length, one curve per layer and direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recurra.inspection.figures import PALETTE
from recurra.inspection.gradient_flow import GradientFlow
from recurra.inspection.gradient_pictures import data_line, plot_curves, plot_map, show_curves, show_map


def flow(slope: float, length: int = 20, layer: int = 0, direction: str = "forward") -> GradientFlow:
    """log10 of the norm falls by `slope` at each lag."""
    lags = np.arange(length)
    steps = lags if direction == "forward" else lags[::-1]
    logs = np.where(steps[:, None] >= lags, slope * lags, np.nan)
    return GradientFlow(layer, direction, 5, 5, length, lags, logs, np.zeros_like(logs), cell="GRU")


def test_the_map_holds_the_norms_and_is_white_where_they_are_held() -> None:
    figure = plot_map([flow(-0.3)], "a run")
    axes, bar = figure.axes
    mesh = axes.collections[0]
    values = np.ma.filled(mesh.get_array(), np.nan)  # [lag, step]
    assert values.shape == (11, 20)  # lags up to half of 20 steps
    np.testing.assert_allclose(values[:, 19], -0.3 * np.arange(11))
    assert np.isnan(values[10, 9])
    assert mesh.cmap(mesh.norm(0.0))[:3] == pytest.approx((0.969, 0.969, 0.969), abs=0.01)
    low, high = mesh.cmap(mesh.norm(-3.0)), mesh.cmap(mesh.norm(3.0))
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert "0.01 (1 %)" in [label.get_text() for label in bar.get_yticklabels()]
    assert figure.get_suptitle() == "How far gradients reach back: a run"


def test_less_than_a_third_of_the_map_is_grey() -> None:
    for direction in ("forward", "backward"):
        mesh = plot_map([flow(0.0, 61, direction=direction)]).axes[0].collections[0]
        assert np.ma.getmaskarray(mesh.get_array()).mean() < 1 / 3


def test_curves_hold_the_means_and_say_where_they_pass_1_percent() -> None:
    figure = plot_curves([flow(-0.3), flow(0.1, layer=1, direction="backward")])
    axes = figure.axes[0]
    falling, growing = axes.lines[:2]
    np.testing.assert_allclose(falling.get_ydata(), 10 ** (-0.3 * np.arange(20)))
    np.testing.assert_allclose(growing.get_ydata(), 10 ** (0.1 * np.arange(20)))
    assert falling.get_label() == "layer 1, under 1 % from lag 7"
    assert growing.get_label() == "layer 2 backward"
    assert (falling.get_color(), growing.get_color()) == PALETTE[:2]
    assert "backward" in axes.get_xlabel()


def test_cells_and_sizes_are_named_once() -> None:
    assert data_line([flow(0.0), flow(0.0, layer=1)]) == "GRU, 5 units; 20 steps"


def test_tables_are_saved_beside_the_pictures(tmp_path: Path) -> None:
    for name, show, rows in (("curves", show_curves, 4), ("map", show_map, 10)):
        picture, table = show([flow(-0.5, 4)]).save(tmp_path / f"{name}.png")
        assert picture.stat().st_size > 5_000
        assert len(table.read_text(encoding="utf-8").splitlines()) == 1 + rows
