"""Ragged rows of ids in one array.

N rows, M ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of ids, joined.

    Args:
        ids: `[M]` (int64).
        offsets: `[N + 1]` (int64): row i is `ids[offsets[i] : offsets[i + 1]]`.
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The length of each row `[N]` (int64), EOS counted."""
        return np.diff(self.offsets)

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        index = range(len(self))[index]
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        return map(self.__getitem__, range(len(self)))

    def select(self, rows: NDArray[np.int64]) -> Rows:
        """The given rows `[R]`, in that order; they may repeat."""
        lengths = self.lengths[rows]
        offsets = offsets_of(lengths)
        shift = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Rows(self.ids[np.arange(offsets[-1]) + shift], offsets)

    def cut(self, longest: int) -> Rows:
        """The rows, those longer than `longest` shortened to it: their first ids, and their last one, EOS."""
        lengths = self.lengths
        if not len(self) or lengths.max() <= longest:
            return self
        position = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], lengths)
        last = np.repeat(lengths, lengths) - 1
        # Of a long row the first longest - 1 symbols stay, and its own EOS.
        kept = (position < longest - 1) | (position == last)
        return Rows(self.ids[kept], offsets_of(np.minimum(lengths, longest)))

    @staticmethod
    def of(rows: Sequence[NDArray[np.int64]]) -> Rows:
        """The given rows `[T]` each, joined."""
        ids = np.concatenate([np.empty(0, np.int64), *rows])
        return Rows(ids, offsets_of(np.array([len(row) for row in rows], np.int64)))

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        none = np.empty(0, np.int64)
        ids = np.concatenate([none, *(part.ids for part in parts)])
        return Rows(ids, offsets_of(np.concatenate([none, *(part.lengths for part in parts)])))


def offsets_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where rows of the given lengths `[N]` begin and end in one array: `[N + 1]` (int64)."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
