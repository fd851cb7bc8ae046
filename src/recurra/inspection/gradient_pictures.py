"""Gradient flow as pictures: a map by output step and lag, and the mean curves over the lag."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.inspection.figures import (
    GREY,
    SMALL,
    WIDTH,
    diverging,
    legend_below,
    line_style,
    new_figure,
    plain_log,
    style,
    thousands,
)
from recurra.inspection.gradient_flow import GradientFlow
from recurra.inspection.gradient_tables import curve_table, map_table
from recurra.inspection.shown import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NORM = "‖∂h(t) / ∂s(k)‖ (Frobenius, over that at lag 0)"
_LOWEST_DRAWN = -6.0  # log10: lags beyond which every curve stays below are not drawn
_COLOUR_RANGE = 4.0  # decades on either side of 1
_MOST_ROWS_DRAWN = 600  # lags in a heat-map
_BEFORE = "#DADCE0"  # the colour of what lies before the sequence starts


def show_curves(flows: Sequence[GradientFlow], title: str = "") -> Shown:
    """The picture of `plot_curves`, and its numbers as a table."""
    return Shown(plot_curves(flows, title), tables=[curve_table(flows)])


def show_map(flows: Sequence[GradientFlow], title: str = "") -> Shown:
    """The picture of `plot_map`, and its numbers as a table."""
    return Shown(plot_map(flows, title), tables=[map_table(flows)])


def plot_map(flows: Sequence[GradientFlow], title: str = "") -> Figure:
    """A heat-map per layer and direction: the norm by output step (across) and lag (up).

    White is the size at lag 0, blue smaller (vanishing), red larger (exploding), by decades. Lags go up to half
    the length of the sequence, since ever fewer output steps reach back further.

    Args:
        flows: measurements of one sequence, at least one.
        title: of the whole picture.

    Returns:
        The figure.
    """
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.ticker import MaxNLocator

    across = 1 if len(flows) == 1 else 2
    down = math.ceil(len(flows) / across)
    last = min(_last_lag(flows), max(1, flows[0].length // 2))
    notes = [data_line(flows), *_methods(flows)]
    if flows[0].log10_norms.shape[1] - 1 > last:
        notes.append(f"lags up to {last:,}")
    if np.isnan(flows[0].log10_norms[:, : last + 1]).any():
        notes.append("grey: before the sequence starts")
    with style():
        figure = new_figure(WIDTH, 0.4 + 3.1 * down, _headed(title), "; ".join(notes))
        norm = TwoSlopeNorm(0.0, -_COLOUR_RANGE, _COLOUR_RANGE)
        mesh = None
        panels = figure.subplots(down, across, squeeze=False).flatten()
        for axes, flow in zip(panels, flows, strict=False):
            edges, lags, image = _map_image(flow, last)
            mesh = axes.pcolormesh(edges, lags, image.T, cmap=diverging(), norm=norm, rasterized=True)
            _mark_threshold(axes, edges, lags, image)
            axes.set_title(_capital(flow.name))
            axes.set_xlabel("output step t (steps)")
            axes.set_ylabel("lag t − k (steps)" if flow.direction == "forward" else "lag k − t (steps)")
            axes.set_facecolor(_BEFORE)
            axes.grid(False)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
                thousands(axis)
        for axes in panels[len(flows) :]:
            axes.remove()
        assert mesh is not None
        bar = figure.colorbar(mesh, ax=list(panels[: len(flows)]), extend="both", fraction=0.04, pad=0.02)
        bar.set_label(_NORM)
        ticks = range(-int(_COLOUR_RANGE), int(_COLOUR_RANGE) + 1)
        bar.set_ticks(list(ticks), labels=[_tick(tick) for tick in ticks])
        bar.ax.axhline(-2, color="black", linewidth=1.2)
        return figure


def plot_curves(flows: Sequence[GradientFlow], title: str = "") -> Figure:
    """The mean norm over the lag, one line per layer and direction, with the 1 % line.

    Args:
        flows: measurements of one sequence, at least one.
        title: of the picture.

    Returns:
        The figure.
    """
    notes = [data_line(flows), *_methods(flows)]
    if not all(flow.exact for flow in flows):
        notes.append("bands: ± 2 standard errors")
    with style():
        figure = new_figure(WIDTH, 4.0 + 0.1 * len(flows), _headed(title), "; ".join(notes))
        axes = figure.add_subplot()
        last = _last_lag(flows)
        lowest = highest = 0.0
        for index, flow in enumerate(flows):
            curve, errors, _ = flow.curve()
            curve, errors = curve[: last + 1], errors[: last + 1]
            lags = np.arange(len(curve))
            drawn = np.maximum(curve, -300)
            under = np.flatnonzero(curve < -2)
            memory = f", under 1 % from lag {under[0]:,}" if len(under) else ""
            axes.plot(lags, 10.0 ** np.minimum(drawn, 300), label=flow.name + memory, **line_style(index))
            if not flow.exact:
                shade = 10.0 ** np.minimum(drawn, 300)
                low, high = shade * np.maximum(1 - 2 * errors, 1e-3), shade * (1 + 2 * errors)
                axes.fill_between(lags, low, high, color=line_style(index)["color"], alpha=0.18, linewidth=0)
            lowest = min(lowest, max(float(drawn.min()), _LOWEST_DRAWN))
            highest = max(highest, min(float(drawn.max()), 300.0))
        axes.axhline(0.01, color=GREY, linewidth=1, linestyle="--", zorder=1)
        axes.annotate("1 % of\nthe start", (1, 0.01), xycoords=("axes fraction", "data"), ha="left", va="center",
                      textcoords="offset points", xytext=(4, 0), fontsize=SMALL, color=GREY)  # fmt: skip
        axes.set_yscale("log")
        axes.set_ylim(10 ** (min(lowest, -2.3) - 0.2), 10 ** (max(highest, 0.3) + 0.2))
        axes.set_xlim(0, last)
        backward = any(flow.direction == "backward" for flow in flows)
        axes.set_xlabel(
            "lag t − k (steps; k − t in a backward direction)" if backward else "lag t − k (steps)"
        )
        axes.set_ylabel(_NORM)
        legend_below(figure, axes)
        thousands(axes.xaxis)
        plain_log(axes.yaxis)
        return figure


def data_line(flows: Sequence[GradientFlow]) -> str:
    """Which cells of which size, on how long a sequence: "LSTM, 64 units; 200 steps"."""
    cells = dict.fromkeys(f"{flow.cell}, {flow.hidden_size:,} units" for flow in flows if flow.cell)
    return "; ".join([*cells, f"{flows[0].length:,} steps"])


def _methods(flows: Sequence[GradientFlow]) -> list[str]:
    return list(dict.fromkeys(flow.method for flow in flows))


def _headed(title: str) -> str:
    return f"How far gradients reach back: {title}" if title else "How far gradients reach back"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _last_lag(flows: Sequence[GradientFlow]) -> int:
    """The last lag worth drawing: a little after every curve has sunk for good."""
    last = 1
    for flow in flows:
        curve = flow.curve()[0]
        high = np.flatnonzero(curve > _LOWEST_DRAWN)
        last = max(last, min(len(curve) - 1, math.ceil(1.05 * (high[-1] + 1))))
    return last


def _map_image(flow: GradientFlow, last: int) -> tuple[Any, Any, Any]:
    """Cell edges across and up, and log10 norms `[E, cells]`; lags are thinned out where there are too many."""
    lags = np.unique(np.linspace(0, last, min(last + 1, _MOST_ROWS_DRAWN)).round().astype(int))
    image = np.ma.masked_invalid(
        np.where(np.isneginf(flow.log10_norms[:, lags]), -99.0, flow.log10_norms[:, lags])
    )
    return _edges(flow.output_steps.astype(float)), _edges(lags.astype(float)), image


def _mark_threshold(axes: Axes, edges: Any, lags: Any, image: Any) -> None:
    """A black line where the norm crosses 1 %."""
    if image.min() < -2 < image.max() and min(image.shape) > 1:
        centres = (edges[1:] + edges[:-1]) / 2, (lags[1:] + lags[:-1]) / 2
        axes.contour(*centres, image.T, levels=[-2.0], colors="black", linewidths=1.0, linestyles="solid")


def _edges(centres: Any) -> Any:
    """Borders half-way between neighbours."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(
        [[1.5 * centres[0] - 0.5 * centres[1]], between, [1.5 * centres[-1] - 0.5 * centres[-2]]]
    )


def _tick(power: int) -> str:
    """A power of ten as a plain number, those that decide with their meaning."""
    named = {0: "1 (held)", -2: "0.01 (1 %)"}
    return named.get(power, f"{10**power:,}" if power > 0 else f"{10.0**power:.{-power}f}")
