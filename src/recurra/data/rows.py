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
        ids: `[M]` (int64), EOS (id 0) last in each row.
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
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shift = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Rows(self.ids[np.arange(offsets[-1]) + shift], offsets)

    def cut(self, longest: int) -> Rows:
        """The rows, those longer than `longest` ended there: the last id kept is EOS."""
        lengths = self.lengths
        if not len(self) or lengths.max() <= longest:
            return self
        position = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], lengths)
        last = np.repeat(lengths, lengths) - 1
        # Of a long row the first longest - 1 symbols stay, and its own EOS.
        kept = (position < longest - 1) | (position == last)
        return Rows(self.ids[kept], np.concatenate([[0], np.cumsum(np.minimum(lengths, longest))]))

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one part after the other."""
        ends = np.cumsum(np.concatenate([part.lengths for part in parts]))
        return Rows(np.concatenate([part.ids for part in parts]), np.concatenate([[0], ends]))
