"""Which examples are held out, and which of many are looked at: drawn at random, the same ones every time.

N examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEED = 20150119
"""Fixed, not the training's seed, so that every run on the same files holds out the same examples."""


def drawn_tenth(examples: Sequence[str | bytes]) -> NDArray[np.bool_]:
    """Which examples are in a tenth of them that is drawn at random, `[N]` (bool).

    Equal examples are all in it or all out of it, so that none is both learned from and held out. Those that occur more
    often than there is room for are out of it, and so are empty ones. Where all occur more often, as in a text made
    of a few lines again and again, examples are drawn one by one.
    """
    groups: dict[str | bytes, int] = {}
    members = np.array([groups.setdefault(one, len(groups)) for one in examples], np.int64)  # [N]
    sizes = np.bincount(members, minlength=len(groups))
    empty = np.array([not one for one in groups], bool)
    room = max(1, round(len(examples) / 10))
    if not (~empty & (sizes <= room)).any():
        order = np.random.default_rng(SEED).permutation(np.flatnonzero(~empty[members]))
        return np.isin(np.arange(len(examples)), order[:room])
    chosen = np.zeros(len(groups), bool)
    for group in np.random.default_rng(SEED).permutation(len(groups)).tolist():
        if sizes[group] <= room and not empty[group]:
            chosen[group], room = True, room - int(sizes[group])
    return np.asarray(chosen[members], bool)


def drawn(count: int, most: int | None) -> list[int]:
    """The numbers of at most so many of `count` examples, drawn at random and in rising order; None: of all.

    A smaller sample is part of a larger one.
    """
    order = np.random.default_rng(SEED).permutation(count)
    return sorted(order[:most].tolist())
