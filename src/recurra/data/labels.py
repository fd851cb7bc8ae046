"""Labels: the names of classes or tags, numbered; no id is reserved.

N labels in a row, V labels in all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.data.rows import Rows
from recurra.data.vocabulary import Ids, Vocabulary, by_falling_count, checked_symbols, text_of
from recurra.errors import DataError, nearest, quoted

SHOWN = 5  # how many of the known names an error lists


class Labels(Vocabulary):
    """The names of classes or tags, such as `positive` or `NOUN`; nothing ends a row, and nothing is unknown.

    Args:
        names: the labels of ids 0, 1, ...; each once.
    """

    kind = "labels"
    unit = "labels"
    eos_id = None
    unk_id = None

    def __init__(self, names: Sequence[str]) -> None:
        self.symbols = list(names)
        self._index = {name: index for index, name in enumerate(self.symbols)}

    @classmethod
    def build(cls, names: Iterable[str]) -> Labels:
        """The labels of training data; ids by falling count, then by code points.

        Raises:
            DataError: there is none.
        """
        counts = Counter(names)
        if not counts:
            raise DataError("the training data have no labels; expected at least one.")
        return cls(by_falling_count(counts))

    def encode(self, names: Iterable[str]) -> Ids:  # type: ignore[override]  # names, where others take a text
        """The ids `[N]` (int64) of labels.

        Raises:
            DataError: one of them is not known.
        """
        names = list(names)
        try:
            return np.array([self._index[name] for name in names], np.int64)
        except KeyError as error:
            raise DataError(self._unseen(error.args[0])) from None

    def _unseen(self, name: str) -> str:
        known = ", ".join(self.symbols[:SHOWN]) + (", ..." if len(self) > SHOWN else "")
        return (
            f"label {quoted(name)}: expected one of the {len(self)} labels of the training data ({known})."
            f"{nearest(name, self.symbols)}"
        )

    def encode_line(self, line: str | bytes) -> Ids:
        """The id `[1]` (int64) of the label that the whole line is.

        Raises:
            DataError: it is not known.
        """
        return self.encode([text_of(line)])

    def encode_lines(self, lines: Sequence[str]) -> Rows:
        """A row of one id for each line, which is a label.

        Raises:
            DataError: one of them is not known.
        """
        return Rows(self.encode(lines), np.arange(len(lines) + 1))

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> list[str]:  # type: ignore[override]  # names, no text
        """The labels of ids `[N]`.

        Raises:
            ShapeError: an id is outside 0..V-1.
        """
        return [self.symbols[index] for index in self._checked(ids).tolist()]

    def content(self) -> dict[str, Any]:
        """The names."""
        return {"kind": self.kind, "labels": self.symbols}

    @classmethod
    def restore(cls, content: dict[str, Any], path: Path) -> Labels:
        """The labels of these names."""
        return cls(checked_symbols(content, "labels", path, set()))
