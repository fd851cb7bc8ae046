"""Training curves: what `metrics.jsonl` holds, as one picture.

What it says of training comes from its lines of training alone, about a hundred in a run; validation from those of
evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from recurra.errors import DataError
from recurra.inspection.figures import (
    GREY,
    PALETTE,
    STEP,
    WIDTH,
    legend_above,
    line_style,
    new_figure,
    plain_log,
    style,
    thousands,
)
from recurra.inspection.shown import Shown
from recurra.metrics.records import Record, evaluations, training

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = tuple[list[float], list[float]]

# key of the record, title, unit of the y axis, scale
_PANELS = (
    ("learning_rate", "Learning rate", "learning rate (per update)", "linear"),
    ("gradient_norm", "Gradient norm before clipping", "L2 norm (per update)", "log"),
    ("clip_rate", "Clipped updates", "share of updates (%)", "linear"),
    ("tokens_per_second", "Speed", "speed (tokens/s)", "linear"),
)

_LEGEND_WIDTH = WIDTH - 1.0  # inches

# validation figures that say again what the loss says
_OF_THE_LOSS = ("valid_loss", "valid_perplexity", "valid_bits_per_character")
_SCORE_NAMES = {"bleu": "BLEU", "chrf": "chrF"}


def show_training(
    records: Sequence[Record], title: str = "", loss_scale: Literal["linear", "log"] = "linear"
) -> Shown:
    """The curves of a training run, to be saved as `RUN/plots/training.png` for example.

    Args:
        records: the lines of `metrics.jsonl` in order.
        title: of which run, model and data; it may be empty.
        loss_scale: "linear" or "log".

    Returns:
        The picture of `plot_training`, and the records.

    Raises:
        DataError: no record, or one without a step.
    """
    figure = plot_training(records, loss_scale, title)
    return Shown(figure, record={"records": [dict(record) for record in records]})


def plot_training(
    records: Sequence[Record], loss_scale: Literal["linear", "log"] = "linear", title: str = ""
) -> Figure:
    """Draw loss, validation scores, learning rate, gradient norm, clip rate and speed against the step.

    The heading says how many epochs and how much time the steps took.

    Args:
        records: the lines of `metrics.jsonl` in order, at least one, each with `step`; what else a record
            lacks, or holds as null or as not a number, is left out of its line. Scores are what is there under
            `valid_<name>` besides the loss and what follows from it: BLEU, error rates; all in percent.
        loss_scale: "linear", or "log" for a loss that falls over decades.
        title: of the whole picture.

    Returns:
        The figure.

    Raises:
        DataError: no record, or one without a step.
    """
    _check(records)
    trained, judged = training(records), evaluations(records)
    panels = [panel for panel in _PANELS if _points(trained, panel[0])[0]]
    scores = [key for key in _score_keys(judged) if _points(judged, key)[0]]
    with style():
        wide = 2 if scores else 1
        rows = wide + math.ceil(len(panels) / 2)
        more = 0.2 * max(0, len(scores) - 3) / 3  # for the lines of a long legend
        figure = new_figure(
            WIDTH,
            3.4 * wide + 2.1 * (rows - wide) + more,
            f"Training curves: {title}" if title else "Training curves",
            _extent(records),
        )
        grid = figure.add_gridspec(rows, 2, height_ratios=[1.6] * wide + [1.0] * (rows - wide))
        top = figure.add_subplot(grid[0, :])
        _draw_loss(top, trained, judged, loss_scale)
        if scores:
            _draw_scores(figure.add_subplot(grid[1, :], sharex=top), judged, scores)
        for index, (key, name, label, scale) in enumerate(panels):
            axes = figure.add_subplot(grid[wide + index // 2, index % 2], sharex=top)
            factor = 100.0 if key == "clip_rate" else 1.0
            steps, values = _points(trained, key)
            _line(axes, steps, [factor * value for value in values], color=PALETTE[0], clip_on=False)
            _finish(axes, name, label, scale if min(values) > 0 else "linear")
            if scale == "linear":
                axes.set_ylim(0, 100 if key == "clip_rate" else None)
        top.set_xlim(0, 1.01 * max(float(record["step"]) for record in (*records, {"step": 1.0})))
        return figure


def _check(records: Sequence[Record]) -> None:
    """Raise unless there are records, and all have a step."""
    if not records:
        raise DataError(
            "records: expected at least one line of metrics, got none; evaluate once before plotting."
        )
    for number, record in enumerate(records, start=1):
        if not _is_number(record.get("step")):
            raise DataError(
                f"metrics line {number}: expected a number under 'step', got {record.get('step')!r}."
            )


def _extent(records: Sequence[Record]) -> str:
    """How far the run went: in updates, epochs and minutes, as far as its last line says."""
    last = records[-1]
    parts = [f"{last['step']:,.0f} updates"]
    if _is_number(last.get("epoch")):
        parts.append(f"{last['epoch']:.3g} epochs")
    if _is_number(last.get("seconds")):
        seconds = last["seconds"]
        parts.append(f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:,.1f} minutes")
    return ", ".join(parts)


def _draw_loss(axes: Axes, trained: Sequence[Record], judged: Sequence[Record], scale: str) -> None:
    valid = _points(judged, "valid_loss")
    for points, label, color, dash in (
        (_points(trained, "train_loss"), "training", PALETTE[0], "-"),
        (valid, "validation", PALETTE[1], "--"),
    ):
        steps, values = points
        if steps:
            _line(axes, steps, values, color=color, linestyle=dash, label=label)
    pad = legend_above(axes, _LEGEND_WIDTH) if axes.get_legend_handles_labels()[1] else 6.0
    if valid[0]:
        best = min(range(len(valid[1])), key=valid[1].__getitem__)
        axes.axhline(valid[1][best], color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        axes.set_title(
            f"lowest validation loss {valid[1][best]:.4f} nats per token, step {valid[0][best]:,.0f}",
            loc="right", fontsize=8.5, fontweight="normal", color=GREY, pad=pad,
        )  # fmt: skip
    _finish(axes, "Loss", "loss (nats per token)", scale, pad)


def _score_keys(records: Sequence[Record]) -> list[str]:
    """The keys of validation scores, in the order in which they first come."""
    keys = dict.fromkeys(key for record in records for key in record)
    return [key for key in keys if key.startswith("valid_") and key not in _OF_THE_LOSS]


def _draw_scores(axes: Axes, records: Sequence[Record], keys: Sequence[str]) -> None:
    for index, key in enumerate(keys):
        name = key.removeprefix("valid_")
        steps, values = _points(records, key)
        label = f"{_SCORE_NAMES.get(name, name.replace('_', ' '))}, last {values[-1]:.2f}"
        _line(axes, steps, values, label=label, clip_on=False, **line_style(index))
    _finish(axes, "Validation scores", "score (%)", "linear", legend_above(axes, _LEGEND_WIDTH))
    axes.set_ylim(0, None)


def _line(axes: Axes, steps: list[float], values: list[float], **look: Any) -> None:
    """A line whose points show as long as they are few; one point alone would not show without."""
    axes.plot(steps, values, marker="o" if len(steps) <= 30 else "", markersize=3.5, **look)


def _finish(axes: Axes, title: str, label: str, scale: str, pad: float = 6.0) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_yscale(scale)
    axes.set_title(title, pad=pad)
    axes.set_xlabel(STEP)
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
    thousands(axes.xaxis)
    if scale == "log":
        plain_log(axes.yaxis)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    if label.startswith("speed"):
        thousands(axes.yaxis)


def _points(records: Sequence[Record], key: str) -> Points:
    """Steps and values of the records which hold a finite number under `key`."""
    held = [record for record in records if _is_number(record.get(key))]
    return [float(record["step"]) for record in held], [float(record[key]) for record in held]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
