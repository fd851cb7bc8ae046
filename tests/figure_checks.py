"""What is wrong with a drawn figure, as a reader would see it: found with the renderer, each fault as a sentence.

Coordinates are pixels of the figure as it is saved, from its lower left corner.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter
from matplotlib.transforms import Bbox

from recurra.inspection.figures import MOST_PIXELS, PIXELS_PER_INCH

SMALLEST = 8.0  # points
TOUCHING = 1.0  # pixels by which boxes of text may overlap: they have some air inside

Corners = np.ndarray  # [4, 2]


Check = Callable[[Figure, list[Text]], list[str]]
"""Takes a figure that has been drawn, and the texts that were."""


def faults(figure: Figure, *checks: Check) -> list[str]:
    """Draw a figure, and list everything that the given checks find, or all checks below."""
    texts = drawn_texts(figure)
    every = (
        overlapping_texts, texts_outside, covered_data, small_texts, too_wide, unnamed_axes, missing_heading,
    )  # fmt: skip
    return [fault for check in checks or every for fault in check(figure, texts)]


def drawn_texts(figure: Figure) -> list[Text]:
    """Draw the figure, and list the texts that were drawn (an axis holds more labels than it draws)."""
    assert figure.dpi == PIXELS_PER_INCH
    with _recording() as texts:
        figure.canvas.draw()
    return texts


def overlapping_texts(figure: Figure, texts: list[Text]) -> list[str]:
    """Pairs of texts of which one is drawn over the other."""
    boxes = [(text, _box(text)) for text in texts]
    return [
        f"{one.get_text()!r} overlaps {other.get_text()!r}"
        for (one, box), (other, other_box) in itertools.combinations(boxes, 2)
        if _overlap(box, other_box)
    ]


def texts_outside(figure: Figure, texts: list[Text]) -> list[str]:
    """Texts that leave the figure."""
    wide, high = figure.bbox.width, figure.bbox.height
    found = []
    for text in texts:
        low, far = _box(text).min(0), _box(text).max(0)
        if min(low) < -TOUCHING or far[0] > wide + TOUCHING or far[1] > high + TOUCHING:
            found.append(f"{text.get_text()!r} leaves the figure: {low.round()} to {far.round()}")
    return found


def covered_data(figure: Figure, texts: list[Text]) -> list[str]:
    """Legends that lie over lines, bars, points, surfaces or images."""
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    return [
        f"a legend covers {what} of {axes.get_title(loc='left') or axes.get_ylabel()!r}"
        for legend in legends
        if legend is not None
        for axes in figure.axes
        for what, points in _data(axes)
        if _crosses(points, legend.get_window_extent(), axes.get_window_extent())
    ]


def small_texts(figure: Figure, texts: list[Text]) -> list[str]:
    """Texts under 8 points; what mathtext raises or lowers is drawn at seven tenths of the size."""
    found = []
    for text in texts:
        scripts = text.get_parse_math() and re.search(r"\$[^$]*[_^][^$]*\$", text.get_text())
        size = text.get_fontsize() * (0.7 if scripts else 1.0)
        if size < SMALLEST - 1e-6:
            found.append(f"{text.get_text()!r} is {size:g} points")
    return found


def too_wide(figure: Figure, texts: list[Text]) -> list[str]:
    """A figure of more than 1,600 pixels across, as saved."""
    pixels = figure.get_size_inches()[0] * PIXELS_PER_INCH
    return [f"{pixels:g} pixels wide"] if pixels > MOST_PIXELS + 1e-6 else []


def unnamed_axes(figure: Figure, texts: list[Text]) -> list[str]:
    """Axes with ticks but no label; an axis of numbers names its unit, or whatever is counted, in brackets."""
    found = []
    for axes in figure.axes:
        if not axes.axison or not axes.get_visible():
            continue
        for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
            formatter = axis.get_major_formatter()
            if not len(axis.get_ticklocs()) or isinstance(formatter, NullFormatter) or not _has_labels(axis):
                continue
            label = axis.get_label().get_text()
            named = isinstance(axis.get_major_locator(), FixedLocator) and not isinstance(
                formatter, ScalarFormatter
            )
            numbers = not named or axes.get_label() == "<colorbar>"
            if not label:
                found.append(f"the {name} axis of {axes.get_title(loc='left')!r} has no label")
            elif numbers and not re.search(r"\(.+\)", label):
                found.append(f"the {name} axis {label!r} has no unit in brackets")
    return found


def missing_heading(figure: Figure, texts: list[Text]) -> list[str]:
    """A figure that does not say what it shows."""
    return [] if figure.get_suptitle().strip() else ["no heading"]


@contextmanager
def _recording() -> Iterator[list[Text]]:
    """The texts that are drawn while the context lasts."""
    texts: list[Text] = []
    usual = Text.draw

    def draw(self: Text, renderer: Any) -> None:
        if self.get_visible() and self.get_text().strip():
            texts.append(self)
        usual(self, renderer)

    Text.draw = draw  # type: ignore[method-assign]
    try:
        yield texts
    finally:
        Text.draw = usual  # type: ignore[method-assign]


def _box(text: Text) -> Corners:
    """The corners of a text's box, turned as the text is."""
    angle = text.get_rotation()
    centre = np.asarray(text.get_window_extent().get_points()).mean(0)
    text.set_rotation(0)
    flat = text.get_window_extent()
    text.set_rotation(angle)
    turn = np.radians(angle)
    along = np.array([np.cos(turn), np.sin(turn)]) * flat.width / 2
    across = np.array([-np.sin(turn), np.cos(turn)]) * flat.height / 2
    return np.array([centre + s * along + t * across for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))])


def _overlap(one: Corners, other: Corners) -> bool:
    """Whether two rectangles share more than their edges: no side of either parts them."""
    if (one.max(0) < other.min(0)).any() or (other.max(0) < one.min(0)).any():
        return False
    for corners in (one, other):
        for side in (corners[1] - corners[0], corners[3] - corners[0]):
            axis = side / max(float(np.linalg.norm(side)), 1e-9)
            first, second = one @ axis, other @ axis
            if min(first.max(), second.max()) - max(first.min(), second.min()) < TOUCHING:
                return False
    return True


def _has_labels(axis: Any) -> bool:
    return any(label.get_visible() and label.get_text() for label in axis.get_ticklabels())


def _data(axes: Axes) -> Iterator[tuple[str, np.ndarray]]:
    """What is drawn in axes, as lines of points `[N, 2]`, in pixels."""
    for artist in axes.get_children():
        if not artist.get_visible():
            continue
        if isinstance(artist, Line2D):
            yield f"the line {artist.get_label()!r}", artist.get_transform().transform(artist.get_xydata())
        elif isinstance(artist, Patch) and artist is not axes.patch:
            for polygon in artist.get_path().to_polygons(artist.get_transform(), closed_only=False):
                yield "a bar", np.asarray(polygon)
        elif isinstance(artist, PathCollection):
            for point in artist.get_offset_transform().transform(artist.get_offsets()):
                yield "a point", np.array([point, point])
        elif isinstance(artist, PolyCollection) and not isinstance(artist, QuadMesh):
            for path in artist.get_paths():
                yield "a band", artist.get_transform().transform(path.vertices)
        elif isinstance(artist, QuadMesh) or artist in axes.images:
            box = axes.get_window_extent()
            corners = (
                (box.x0, box.y0),
                (box.x1, box.y0),
                (box.x1, box.y1),
                (box.x0, box.y1),
                (box.x0, box.y0),
            )
            yield "a surface", np.array(corners)


def _crosses(points: np.ndarray, legend: Bbox, clip: Bbox) -> bool:
    """Whether a line of points, as far as it lies in the axes, comes into a legend's box."""
    box = Bbox.intersection(legend, clip)
    if box is None or box.width < TOUCHING or box.height < TOUCHING:
        return False
    points = points[np.isfinite(points).all(1)]
    if not len(points):
        return False
    between = np.linspace(points[:-1], points[1:], 64).reshape(-1, 2) if len(points) > 1 else points
    inside = (between >= [box.x0, box.y0]) & (between <= [box.x1, box.y1])
    low, high = points.min(0), points.max(0)
    filled = len(points) > 3 and bool((points[0] == points[-1]).all())
    surrounds = filled and bool((low <= [box.x0, box.y0]).all() and (high >= [box.x1, box.y1]).all())
    return bool(inside.all(1).any()) or surrounds
