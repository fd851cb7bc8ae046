"""The colours of units' values, in the picture and on the page: 256 shades, none so dark that text drowns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.inspection.figures import diverging, sequential

Array = NDArray[Any]


def colours(signed: bool = True) -> Array:
    """The colour of each shade, `[256, 3]` in [0, 1].

    Args:
        signed: blue, white, red, for values with a sign; otherwise white to blue, for values from 0 to 1.
    """
    if signed:
        return np.asarray(diverging()(np.linspace(0.08, 0.92, 256)))[:, :3]
    return np.asarray(sequential()(np.linspace(0.0, 0.85, 256)))[:, :3]


def dark(rgb: Array) -> Array:
    """Whether text on each colour `[N, 3]` should be white."""
    return np.asarray(rgb @ (0.299, 0.587, 0.114) < 0.5)
