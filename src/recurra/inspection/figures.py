"""The look that recurra's pictures share: colours, type, and how a picture reaches the disk.

Figures are matplotlib's object-oriented ones on the Agg canvas; pyplot and its global state are never
touched, so that drawing is safe in a notebook, a server or a training run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008), "Color Universal Design": distinct under the common colour-vision deficiencies.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
GREY = "#5F6368"
PIXELS_PER_INCH = 150

_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E3E5E8",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#202124",
    "ytick.labelcolor": "#202124",
}


def new_figure(width: float, height: float, constrained: bool = True) -> Figure:
    """An empty figure of `width` by `height` inches on the Agg canvas, laid out by matplotlib unless told not to."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width, height),
        dpi=PIXELS_PER_INCH,
        layout="constrained" if constrained else None,
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    return figure


def style() -> Any:
    """A context in which figures take the common style; the caller's own settings come back after it."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def line_style(index: int) -> dict[str, Any]:
    """Colour and dash of the `index`-th line: seven colours, then the same ones with another dash."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": DASHES[index // len(PALETTE) % len(DASHES)],
    }


def thousands(axis: Any) -> None:
    """Write the ticks of an axis as whole numbers with separators."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if value == int(value) else f"{value:g}")
    )


def plain_log(axis: Any) -> None:
    """Write the ticks of a logarithmic axis as plain numbers, 1-2-5 of a decade while there are few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    few = high < 100 * low
    axis.set_major_locator(
        LogLocator(subs=(1.0, 2.0, 3.0, 5.0, 7.0) if high < 8 * low else (1.0, 2.0, 5.0) if few else (1.0,))
    )
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, aside first and then renamed; missing folders are made.

    Args:
        figure: what `new_figure` made.
        path: the file, ending in `.png`.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    with aside.open("wb") as file:
        figure.savefig(file, format="png", dpi=PIXELS_PER_INCH)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    return path


def save_text(text: str, path: str | Path) -> Path:
    """Write a UTF-8 file, aside first and then renamed; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    with aside.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    return path


def save_csv(header: Sequence[str], rows: Iterable[Sequence[object]], path: str | Path) -> Path:
    """Write a table as CSV (UTF-8, comma, `\\n`), aside first and then renamed."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return save_text(text.getvalue(), path)
