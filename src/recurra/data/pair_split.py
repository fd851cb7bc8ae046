"""One split of pairs: pairs for the loss, unique sources for decoding.

N lines, P pairs, S unique sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recurra.data.pair_vocabularies import Vocabularies, encode_lines
from recurra.data.parallel import Lines
from recurra.data.rows import Rows
from recurra.errors import DataError

LongLines = Literal["skip", "truncate"]


@dataclass(frozen=True)
class PairCounts:
    """What became of the lines of a split.

    Args:
        lines: N, all of them.
        empty: left out of the loss, as a side is empty.
        skipped: left out of the loss, as a side is longer than `max_length`.
        truncated: kept, a side cut to `max_length`.
    """

    lines: int
    empty: int
    skipped: int
    truncated: int


@dataclass(frozen=True, eq=False)
class Pairs:
    """A split, as pairs for the loss and as unique sources for decoding.

    Args:
        source, target: the P pairs that the loss is taken over: neither side empty, none longer than
            `max_length`, EOS last.
        sources: each of the S unique sources once, in order of first appearance, empty and long ones included;
            those longer than `max_length` are cut to it.
        source_text: their text, whole.
        references: for each of them the unique targets it came with, in order; an empty one only where there
            is no other.
        truncated: `[S]` (bool), whether that source was cut.
        lines: the text of all N lines, whole.
        used: `[P]` (int64), the line that each pair is.
        groups: `[N]` (int64), the unique source of each line.
        counts: what became of the lines.
    """

    source: Rows
    target: Rows
    sources: Rows
    source_text: list[str]
    references: list[list[str]]
    truncated: NDArray[np.bool_]
    lines: Lines
    used: NDArray[np.int64]
    groups: NDArray[np.int64]
    counts: PairCounts

    def __len__(self) -> int:
        return len(self.source)

    @property
    def tokens(self) -> int:
        """The number of target symbols of the pairs, EOS counted."""
        return len(self.target.ids)


def encode_pairs(
    lines: Lines, vocabularies: Vocabularies, max_length: int, long_lines: LongLines = "skip"
) -> Pairs:
    """The lines as pairs for the loss and as unique sources for decoding.

    Raises:
        DataError: no pair is left for the loss.
    """
    source = encode_lines(lines.source, vocabularies.source)
    target = encode_lines(lines.target, vocabularies.target)
    both = lines.both()
    too_long = np.maximum(source.lengths, target.lengths)[both] > max_length
    used = both[~too_long] if long_lines == "skip" else both
    beyond = int(too_long.sum())
    if not len(used):
        raise no_pair(lines.name, beyond, max_length)
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(text, len(numbers)) for text in lines.source], np.int64)
    references: list[dict[str, None]] = [{} for _ in numbers]
    for group, text in zip(groups.tolist(), lines.target, strict=True):
        references[group][text] = None
    unique = source.select(np.unique(groups, return_index=True)[1])
    return Pairs(
        source=source.select(used).cut(max_length),
        target=target.select(used).cut(max_length),
        sources=unique.cut(max_length),
        source_text=list(numbers),
        references=[[text for text in texts if text] or [""] for texts in references],
        truncated=unique.lengths > max_length,
        lines=lines,
        used=used,
        groups=groups,
        counts=PairCounts(
            lines=len(lines.source),
            empty=len(lines.source) - len(both),
            skipped=beyond if long_lines == "skip" else 0,
            truncated=0 if long_lines == "skip" else beyond,
        ),
    )


def no_pair(name: str, skipped: int = 0, max_length: int = 0) -> DataError:
    """The error of lines of which none can be learned from."""
    if skipped:
        return DataError(
            f"{name}: no pair is left, {skipped} are longer than {max_length} symbols. Raise "
            "--data.max_length, or pass --data.long_lines truncate."
        )
    return DataError(f"{name}: no line has both a source and a target; expected at least one that has.")
