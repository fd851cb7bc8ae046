"""Gradient flow as pictures and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recurra.inspection.figures import (
    GREY,
    PALETTE,
    line_style,
    new_figure,
    save_csv,
    save_figure,
    style,
    thousands,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recurra.inspection.gradients import GradientFlow
    from recurra.inspection.saturation import Saturation

_NORM = r"$\|\partial h_t / \partial s_k\|$"
_LOWEST_DRAWN = -6.0  # log10: lags beyond which every curve stays below are not drawn
_COLOUR_RANGE = 4.0  # decades on either side of 1
_MOST_ROWS_DRAWN = 600  # lags in a heat-map
_MOST_LAGS_WRITTEN = 256  # per output step, in the table of the map


def plot_map(flows: Sequence[GradientFlow], title: str = "") -> Figure:
    """A heat-map per layer and direction: the norm by output step (across) and lag (up).

    White is the size at lag 0, blue smaller (vanishing), red larger (exploding), by decades.

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
    with style():
        figure = new_figure(8.4, 0.6 + 3.1 * down)
        figure.suptitle(
            title or "How far gradients reach back", x=0.01, ha="left", fontweight="bold", fontsize=11
        )
        norm = TwoSlopeNorm(0.0, -_COLOUR_RANGE, _COLOUR_RANGE)
        mesh = None
        panels = figure.subplots(down, across, squeeze=False).flatten()
        for axes, flow in zip(panels, flows, strict=False):
            edges, lags, image = _map_image(flow, _last_lag(flows))
            mesh = axes.pcolormesh(edges, lags, image.T, cmap="RdBu_r", norm=norm, rasterized=True)
            _mark_threshold(axes, edges, lags, image)
            axes.set_title(flow.name.capitalize())
            axes.set_xlabel("output step t")
            axes.set_ylabel("lag t − k (steps)" if flow.direction == "forward" else "lag k − t (steps)")
            axes.set_facecolor("#D9DCE0")
            axes.grid(False)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
                thousands(axis)
        for axes in panels[len(flows) :]:
            axes.remove()
        assert mesh is not None
        bar = figure.colorbar(mesh, ax=list(panels[: len(flows)]), extend="both", fraction=0.04, pad=0.02)
        bar.set_label(f"{_NORM} (Frobenius), relative to lag 0")
        ticks = range(-int(_COLOUR_RANGE), int(_COLOUR_RANGE) + 1)
        bar.set_ticks(list(ticks), labels=[_tick(tick) for tick in ticks])
        bar.ax.axhline(-2, color="black", linewidth=1.2)
        figure.text(
            0.99, 0.99, "grey: before the sequence starts", ha="right", va="top", fontsize=8, color=GREY
        )
        return figure


def plot_curves(flows: Sequence[GradientFlow], title: str = "") -> Figure:
    """The mean norm over the lag, one line per layer and direction, with the 1 % line.

    Args:
        flows: measurements of one sequence, at least one.
        title: of the picture.

    Returns:
        The figure.
    """
    with style():
        figure = new_figure(8.4, 4.4)
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
        axes.annotate("1 % of the start", (1, 0.01), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                      textcoords="offset points", xytext=(0, 2), fontsize=8.5, color=GREY)  # fmt: skip
        axes.set_yscale("log")
        axes.set_ylim(10 ** (min(lowest, -2.3) - 0.2), 10 ** (max(highest, 0.3) + 0.2))
        axes.set_xlim(0, last)
        axes.set_xlabel(
            "lag t − k (steps; k − t in a backward direction)"
            if _has_backward(flows)
            else "lag t − k (steps)"
        )
        axes.set_ylabel(f"{_NORM} (Frobenius), relative to lag 0")
        axes.set_title((title or "How far gradients reach back") + "\n", loc="left")
        axes.text(0, 1.02, _method_line(flows), transform=axes.transAxes, fontsize=8, color=GREY)
        axes.legend(loc="best")
        thousands(axes.xaxis)
        return figure


def plot_saturation(entries: Sequence[Saturation], title: str = "") -> Figure:
    """The saturated share of every gate as bars: low and high apart."""
    names = [
        f"layer {entry.layer + 1}{' backward' if entry.direction == 'backward' else ''}: {entry.gate}"
        for entry in entries
    ]
    with style():
        figure = new_figure(8.4, 1.5 + 0.26 * len(entries))
        axes = figure.add_subplot()
        places = np.arange(len(entries))
        low = np.array([100 * entry.low for entry in entries])
        high = np.array([100 * entry.high for entry in entries])
        axes.barh(places, low, color=PALETTE[0], label="low (sigmoid < 0.05, tanh < −0.95)", height=0.7)
        axes.barh(places, high, left=low, color=PALETTE[4], label="high (> 0.95)", height=0.7)
        for place, share in zip(places, low + high, strict=True):
            axes.annotate(f"{share:.1f}", (share, place), xytext=(4, 0), textcoords="offset points", va="center",
                          fontsize=8, color=GREY)  # fmt: skip
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.set_xlim(0, max(10.0, 1.12 * float((low + high).max(initial=0.0))))
        axes.set_xlabel("saturated values (% of all units, steps and rows)")
        axes.grid(axis="y", visible=False)
        figure.suptitle(title or "Gate saturation", x=0.01, ha="left", fontweight="bold", fontsize=11)
        figure.legend(loc="outside lower center", ncols=2)
        return figure


def save_pictures(
    flows: Sequence[GradientFlow], entries: Sequence[Saturation], folder: Path, title: str = ""
) -> list[Path]:
    """Write the pictures (PNG) and the numbers (CSV) into `folder`, which is made.

    Returns:
        The files: `gradient_map.png` and `.csv`, `gradient_curves.png` and `.csv`, and, where there is a gate
        to judge, `gate_saturation.png` and `.csv`. The table of the map holds at most 256 lags per output
        step, spread geometrically; that of the curves holds them all.
    """
    shared = ("layer", "direction")
    files = [
        save_figure(plot_map(flows, title), folder / "gradient_map.png"),
        save_figure(plot_curves(flows, title), folder / "gradient_curves.png"),
        save_csv(
            (
                *shared,
                "output_step",
                "state_step",
                "lag",
                "norm",
                "log10_norm",
                "relative_standard_error",
                "method",
            ),
            _map_rows(flows),
            folder / "gradient_map.csv",
        ),
        save_csv(
            (*shared, "lag", "norm", "log10_norm", "relative_standard_error", "output_steps", "method"),
            _curve_rows(flows),
            folder / "gradient_curves.csv",
        ),
    ]
    if entries:
        rows = [(e.layer + 1, e.direction, e.gate, e.kind, e.low, e.high, e.share) for e in entries]
        heading = f"{title}: gate saturation" if title else ""
        files += [
            save_figure(plot_saturation(entries, heading), folder / "gate_saturation.png"),
            save_csv(
                (*shared, "gate", "kind", "low", "high", "saturated"), rows, folder / "gate_saturation.csv"
            ),
        ]
    return files


def _map_rows(flows: Sequence[GradientFlow]) -> Iterator[tuple[object, ...]]:
    for flow in flows:
        lags = _geometric(flow.log10_norms.shape[1], _MOST_LAGS_WRITTEN)
        sign = -1 if flow.direction == "forward" else 1
        for step, logs, errors in zip(flow.output_steps, flow.log10_norms, flow.relative_errors, strict=True):
            for lag in lags:
                if not np.isnan(logs[lag]):
                    yield (flow.layer + 1, flow.direction, step, step + sign * lag, lag, _number(10.0 ** logs[lag]),
                           _number(logs[lag]), _number(errors[lag]), _short_method(flow))  # fmt: skip


def _curve_rows(flows: Sequence[GradientFlow]) -> Iterator[tuple[object, ...]]:
    for flow in flows:
        for lag, (log, error, count) in enumerate(zip(*flow.curve(), strict=True)):
            yield (flow.layer + 1, flow.direction, lag, _number(10.0**log), _number(log), _number(error), count,
                   _short_method(flow))  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.7g}"


def _short_method(flow: GradientFlow) -> str:
    return "exact" if flow.exact else f"{flow.probes} probes"


def _method_line(flows: Sequence[GradientFlow]) -> str:
    methods = list(dict.fromkeys(flow.method for flow in flows))
    band = "" if all(flow.exact for flow in flows) else "; bands: ± 2 standard errors"
    return "; ".join(methods) + band


def _has_backward(flows: Sequence[GradientFlow]) -> bool:
    return any(flow.direction == "backward" for flow in flows)


def _last_lag(flows: Sequence[GradientFlow]) -> int:
    """The last lag worth drawing: a little after every curve has sunk for good."""
    last = 1
    for flow in flows:
        curve = flow.curve()[0]
        high = np.flatnonzero(curve > _LOWEST_DRAWN)
        last = max(last, min(len(curve) - 1, math.ceil(1.05 * (high[-1] + 1))))
    return last


def _geometric(count: int, most: int) -> list[int]:
    """At most about `most` of 0 ... count - 1: all where few, else ever wider apart, the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({0, *np.geomspace(1, count - 1, most - 1).round().astype(int).tolist()})


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
    return {0: "1 (held)", -2: "0.01 (1 %)", -1: "0.1", 1: "10", 2: "100"}.get(
        power, f"$10^{{{power}}}$".replace("-", "−")
    )
