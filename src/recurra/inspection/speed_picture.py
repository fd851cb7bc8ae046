"""The timings of `speed.py` as a picture: how many times as fast as its peer each cell is, shape by shape."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recurra.inspection.figures import GREY, PALETTE, new_figure, plain_log, save_figure, style
from recurra.inspection.speed import Timing, geometric_mean

# What is shown of the timings: ours, its peer, and what the peer is.
PEERS = (
    ("generated", "torch", "PyTorch's own kernel"),
    ("generated", "loop", "an ordinary loop that calls the cell step by step"),
    ("generated", "reference", "the reference backend, a loop that takes the inputs' product out"),
    ("generated ragged", "torch packed", "PyTorch's kernel on a packed batch, rows of lengths 1 to T"),
)


def draw(timings: Sequence[Timing], title: str, path: str | Path) -> Path:
    """Write the picture: a row per cell and peer, a dot per shape, a bar at the geometric mean.

    Args:
        timings: of `time_cells`.
        title: what machine they are from.
        path: the file, ending in `.png`.
    """
    rows = []
    for colour, (ours, theirs, label) in zip(PALETTE, PEERS, strict=False):
        for cell in dict.fromkeys(
            one.cell for one in timings if ours in one.seconds and theirs in one.seconds
        ):
            own = [one.ratio(ours, theirs) for one in timings if one.cell == cell]
            suffix = ", ragged" if "ragged" in ours else ", reference" if theirs == "reference" else ""
            rows.append((f"{cell}{suffix}", own, colour, label))
    with style():
        figure = new_figure(7.2, 1.8 + 0.36 * len(rows))
        axes = figure.add_subplot()
        for place, (_, values, colour, label) in enumerate(rows):
            known = label in axes.get_legend_handles_labels()[1]
            mean = geometric_mean(values)
            axes.barh(
                place, mean - 1, left=1, height=0.55, color=colour, alpha=0.3, label=None if known else label
            )
            axes.scatter(values, [place] * len(values), s=14, color=colour, zorder=3)
            axes.annotate(
                f"{mean:.1f}",
                (max(mean, *values), place),
                (6, 0),
                textcoords="offset points",
                va="center",
                color=GREY,
            )
        axes.axvline(1.0, color=GREY, linewidth=1.0)
        axes.set_xscale("log")
        every = [value for _, values, _, _ in rows for value in values]
        low, high = min(0.9, *every), max(1.1, *every)
        margin = (high / low) ** 0.08  # room for the numbers
        axes.set_xlim(low / margin**0.5, high * margin)
        plain_log(axes.xaxis)
        axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(
            "times as fast as its peer, forward and backward; a dot per shape, the number is their mean"
        )
        axes.set_title(title)
        figure.legend(loc="outside lower left")
        return save_figure(figure, path)
