"""Training curves: what `metrics.jsonl` holds, as one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recurra.errors import DataError
from recurra.inspection.figures import GREY, PALETTE, new_figure, plain_log, save_figure, style, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Record = Mapping[str, Any]
Points = tuple[list[float], list[float]]

# key of the record, title, unit of the y axis, scale
_PANELS = (
    ("learning_rate", "Learning rate", "rate (per update)", "linear"),
    ("gradient_norm", "Gradient norm before clipping", "L2 norm (nats/token)", "log"),
    ("clip_rate", "Clipped updates", "share of updates (%)", "linear"),
    ("tokens_per_second", "Speed", "tokens per second", "linear"),
)


def plot_training(records: Sequence[Record], loss_scale: Literal["linear", "log"] = "linear") -> Figure:
    """Draw loss, learning rate, gradient norm, clip rate and speed against the step.

    Args:
        records: the lines of `metrics.jsonl` in order, at least one, each with `step`; what else a record
            lacks, or holds as null or as not a number, is left out of its line.
        loss_scale: "linear", or "log" for a loss that falls over decades.

    Returns:
        The figure.

    Raises:
        DataError: no record, or one without a step.
    """
    if not records:
        raise DataError(
            "records: expected at least one line of metrics, got none; evaluate once before plotting."
        )
    for number, record in enumerate(records, start=1):
        if not _is_number(record.get("step")):
            raise DataError(
                f"metrics line {number}: expected a number under 'step', got {record.get('step')!r}."
            )
    panels = [panel for panel in _PANELS if _points(records, panel[0])[0]]
    with style():
        rows = 1 + math.ceil(len(panels) / 2)
        figure = new_figure(8.4, 3.4 + 2.1 * (rows - 1))
        grid = figure.add_gridspec(rows, 2, height_ratios=[1.6] + [1.0] * (rows - 1))
        top = figure.add_subplot(grid[0, :])
        _draw_loss(top, records, loss_scale)
        for index, (key, title, label, scale) in enumerate(panels):
            axes = figure.add_subplot(grid[1 + index // 2, index % 2], sharex=top)
            factor = 100.0 if key == "clip_rate" else 1.0
            steps, values = _points(records, key)
            _line(axes, steps, [factor * value for value in values], color=PALETTE[0], clip_on=False)
            _finish(axes, title, label, scale if min(values) > 0 else "linear")
            if scale == "linear":
                axes.set_ylim(0, 100 if key == "clip_rate" else None)
        top.set_xlim(0, 1.01 * max(float(records[-1]["step"]), 1.0))
        return figure


def save_training(
    records: Sequence[Record], path: str | Path, loss_scale: Literal["linear", "log"] = "linear"
) -> Path:
    """Write the picture of `plot_training` as PNG, aside first and then renamed.

    Args:
        records: the lines of `metrics.jsonl` in order.
        path: the file, `RUN/plots/training.png` in a run.
        loss_scale: "linear" or "log".

    Returns:
        The path.

    Raises:
        DataError: no record, or one without a step.
    """
    return save_figure(plot_training(records, loss_scale), path)


def _draw_loss(axes: Axes, records: Sequence[Record], scale: str) -> None:
    valid = _points(records, "valid_loss")
    for key, label, color, dash in (
        ("train_loss", "training", PALETTE[0], "-"),
        ("valid_loss", "validation", PALETTE[1], "--"),
    ):
        steps, values = _points(records, key)
        if steps:
            _line(axes, steps, values, color=color, linestyle=dash, label=label)
    if valid[0]:
        best = min(range(len(valid[1])), key=valid[1].__getitem__)
        axes.axhline(valid[1][best], color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        axes.set_title(
            f"best validation {valid[1][best]:.4f} nats per token, step {valid[0][best]:,.0f}",
            loc="right", fontsize=8.5, fontweight="normal", color=GREY,
        )  # fmt: skip
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="upper right")
    _finish(axes, "Loss", "loss (nats per token)", scale)


def _line(axes: Axes, steps: list[float], values: list[float], **look: Any) -> None:
    """A line whose points show as long as they are few; one point alone would not show without."""
    axes.plot(steps, values, marker="o" if len(steps) <= 30 else "", markersize=3.5, **look)


def _finish(axes: Axes, title: str, label: str, scale: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_yscale(scale)
    axes.set_title(title)
    axes.set_xlabel("step (updates)")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    thousands(axes.xaxis)
    if scale == "log":
        plain_log(axes.yaxis)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    if label.startswith("tokens"):
        thousands(axes.yaxis)


def _points(records: Sequence[Record], key: str) -> Points:
    """Steps and values of the records which hold a finite number under `key`."""
    held = [record for record in records if _is_number(record.get(key))]
    return [float(record["step"]) for record in held], [float(record[key]) for record in held]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
