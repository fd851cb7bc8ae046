"""The look that recurra's pictures share: sizes, colours, type, headings, legends, and how files are written.

Figures are matplotlib's object-oriented ones on the Agg canvas; pyplot and its global state are never
touched, so that drawing is safe in a notebook, a server or a training run. Lengths are inches, sizes of type
points; nothing that is written is smaller than `SMALL` points, no figure wider than `WIDEST` inches.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.durable import write_atomic
from recurra.inspection.label_fonts import label_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 150
MOST_PIXELS = 1600
WIDEST = MOST_PIXELS / PIXELS_PER_INCH
WIDTH = 8.4
"""Width of a figure whose contents do not ask for another one."""

SMALL, USUAL, LARGE = 8.0, 9.0, 10.5
"""Sizes of type: notes and numbers; labels; headings."""

# Okabe & Ito (2008), "Color Universal Design": distinct under the common colour-vision deficiencies.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", ":", "-.")
INK, GREY, FAINT = "#202124", "#5F6368", "#E3E5E8"

STEP = "step (updates)"
"""The label of an axis that counts parameter updates."""

_LINE = 1.3  # from line to line of a heading, over the size
_MARGIN = 0.1  # around a heading
_KEY = 0.6  # what a legend needs beside the text of an entry

_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": USUAL,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": USUAL,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def new_figure(
    width: float, height: float, title: str = "", note: str = "", constrained: bool = True
) -> Figure:
    """A figure with a heading on the Agg canvas, empty below the heading.

    Args:
        width: inches; what is above `WIDEST` is cut to it.
        height: inches, without the heading.
        title: what is shown, in bold; wrapped, in any script.
        note: below it in grey, wrapped.
        constrained: lay out the axes automatically below the heading.

    Returns:
        The figure, `height` inches and those of the heading high.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = min(width, WIDEST)
    fonts = label_fonts([title, note])
    bold = "bold" if len(fonts.families) == 1 else "normal"  # other fonts may come in one weight
    room = width - 2 * _MARGIN
    titles = wrapped(fonts.prose(title), room, LARGE, bold, fonts.families) if title else []
    notes = wrapped(fonts.prose(note), room, SMALL, "normal", fonts.families) if note else []
    title_high, note_high = len(titles) * LARGE * _LINE / 72, len(notes) * SMALL * _LINE / 72
    heading = title_high + note_high + (_MARGIN if titles or notes else 0.0)
    whole = height + heading
    figure = Figure(
        figsize=(width, whole),
        dpi=PIXELS_PER_INCH,
        layout="constrained" if constrained else None,
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, 0, 1, height / whole))  # type: ignore[call-arg]
    look: dict[str, Any] = {"ha": "left", "va": "top", "family": fonts.families, "linespacing": 1.05}
    if titles:
        text = figure.suptitle(
            "\n".join(titles), x=_MARGIN / width, y=1 - _MARGIN / whole, fontsize=LARGE, weight=bold, **look
        )
        text.set_parse_math(False)
        text.set_in_layout(False)
    if notes:
        figure.text(
            _MARGIN / width, 1 - (_MARGIN + title_high) / whole, "\n".join(notes), fontsize=SMALL, color=GREY,
            parse_math=False, in_layout=False, **look,
        )  # fmt: skip
    return figure


def style() -> Any:
    """A context in which figures take the common style; the caller's own settings come back after it."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


# -------------------------------------------------------------------- colours


def line_style(index: int) -> dict[str, Any]:
    """Colour and dash of the `index`-th line: seven colours, then the same ones with another dash."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "linestyle": DASHES[index // len(PALETTE) % len(DASHES)],
    }


def sequential() -> Colormap:
    """Colours for shares, weights and gates in [0, 1]: white to dark blue, the darkest not black."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shares", ["white", "#9ecae9", PALETTE[0], "#00345c"])


def diverging() -> Colormap:
    """Colours for values with a sign: blue below the middle, white in it, red above."""
    from matplotlib import colormaps

    return colormaps["RdBu_r"]


# -------------------------------------------------------------------- axes


def thousands(axis: Any) -> None:
    """Write the ticks of an axis as whole numbers with separators."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if value == int(value) else f"{value:g}")
    )


def plain_log(axis: Any) -> None:
    """Write the ticks of a logarithmic axis as plain numbers, 1-2-5 of a decade while there are few.

    Over less than half a decade they stand at even distances, as on a linear axis.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    if high < 4 * low:
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    else:
        some = (1.0, 2.0, 3.0, 5.0, 7.0) if high < 8 * low else (1.0, 2.0, 5.0)
        axis.set_major_locator(LogLocator(subs=some if high < 100 * low else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float) -> str:
    """A number without an exponent, from a millionth to a million."""
    if not 1e-7 < abs(value) < 1e7:
        return f"{value:g}".replace("-", "−")
    return f"{value:,.7f}".rstrip("0").rstrip(".")


# -------------------------------------------------------------------- text


def text_width(
    text: str, size: float, weight: str = "normal", families: Sequence[str] = ("DejaVu Sans",)
) -> float:
    """How wide a line of text is when it is drawn, in inches."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=list(families), size=size, weight=weight)
    return float(_ruler().get_text_width_height_descent(text, font, ismath=False)[0]) / PIXELS_PER_INCH


def shortened(
    text: str, inches: float, size: float, weight: str = "normal", families: Sequence[str] = ("DejaVu Sans",)
) -> str:
    """The text, or as much of its beginning as fits into `inches`, and an ellipsis."""
    if text_width(text, size, weight, families) <= inches:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        fits = text_width(text[:middle] + "…", size, weight, families) <= inches
        low, high = (middle, high) if fits else (low, middle - 1)
    return text[:low] + "…"


def wrapped(
    text: str,
    inches: float,
    size: float,
    weight: str = "normal",
    families: Sequence[str] = ("DejaVu Sans",),
    most: int = 4,
) -> list[str]:
    """The text in at most `most` lines of at most `inches`, cut between words; the last one is shortened."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if not lines[-1] or text_width(longer, size, weight, families) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [shortened(line, inches, size, weight, families) for line in lines]


@cache
def _ruler() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, PIXELS_PER_INCH)


# -------------------------------------------------------------------- legends


def legend_below(figure: Figure, axes: Axes) -> None:
    """Name the lines and bars of `axes` below all axes, in as many columns as fit; long names are shortened."""
    handles, labels = axes.get_legend_handles_labels()
    names, families, columns = _entries(labels, figure.get_size_inches()[0] - 2 * _MARGIN)
    legend = figure.legend(
        handles, names, loc="outside lower left", ncols=columns, prop={"family": families, "size": 8.5}
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def legend_above(axes: Axes, inches: float) -> float:
    """Name the lines of `axes` between its title and the plot, over at most `inches`.

    Returns:
        The `pad` which the title needs so that it stands above the legend, in points.
    """
    handles, labels = axes.get_legend_handles_labels()
    names, families, columns = _entries(labels, inches)
    legend = axes.legend(
        handles, names, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderpad=0, borderaxespad=0.4,
        labelspacing=0.3, prop={"family": families, "size": 8.5},
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure = axes.get_figure(root=True)
    assert figure is not None
    return 72 * legend.get_window_extent(_ruler()).height / figure.dpi + 8


def _entries(labels: Sequence[str], inches: float) -> tuple[list[str], tuple[str, ...], int]:
    """The names of a legend, the fonts for them, and how many columns fit into `inches`."""
    fonts = label_fonts(labels)
    names = [shortened(fonts.prose(label), inches - _KEY, 8.5, families=fonts.families) for label in labels]
    widest = max((text_width(name, 8.5, families=fonts.families) for name in names), default=0.0)
    return names, fonts.families, max(1, min(len(names), int(inches / (widest + _KEY))))


# -------------------------------------------------------------------- files


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, to a temporary file, then renamed; missing folders are made.

    Args:
        figure: what `new_figure` made.
        path: the file, ending in `.png`.

    Returns:
        The path.
    """
    return _write(path, png(figure))


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PIXELS_PER_INCH)
    return file.getvalue()


def save_text(text: str, path: str | Path) -> Path:
    """Write a UTF-8 file, to a temporary file, then renamed; missing folders are made."""
    return _write(path, text.encode("utf-8"))


def save_csv(header: Sequence[str], rows: Iterable[Sequence[object]], path: str | Path) -> Path:
    """Write a table as CSV (UTF-8, comma, `\\n`), to a temporary file, then renamed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return save_text(text.getvalue(), path)


def _write(path: str | Path, data: bytes) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)
    return path
