"""One split of pairs: pairs for the loss, unique sources for decoding.

N lines, P pairs, S unique sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recurra.data.parallel import Lines
from recurra.data.rows import Rows
from recurra.data.subword_sampling import SubwordSampler
from recurra.data.subwords import Subwords
from recurra.data.vocabularies import Vocabularies
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


@dataclass(frozen=True, eq=False, repr=False)
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
        lines: the text of all N lines, whole.
        used: `[P]` (int64), the line that each pair is.
        counts: what became of the lines.
        vocabularies: in whose ids the rows are.
        max_length: the maximum length of a row, EOS counted.
        sampling: the power to which the probability of a division into subwords is taken in `draw`; 0: `draw`
            gives the rows as they are.
    """

    source: Rows
    target: Rows
    sources: Rows
    source_text: list[str]
    references: list[list[str]]
    lines: Lines
    used: NDArray[np.int64]
    counts: PairCounts
    vocabularies: Vocabularies
    max_length: int
    sampling: float = 0.0

    def __len__(self) -> int:
        return len(self.source)

    def __repr__(self) -> str:
        return f"Pairs({len(self):,} pairs, {len(self.source_text):,} different sources)"

    @property
    def tokens(self) -> int:
        """The number of target symbols of the pairs, EOS counted."""
        return len(self.target.ids)

    def draw(self, seed: int, epoch: int) -> tuple[Rows, Rows]:
        """Source and target rows of the pairs for one epoch of training, a function of (seed, epoch).

        They are `source` and `target`, but for sides of subwords under `sampling`.
        """
        source, target = (
            rows if sampler is None else sampler.draw(seed, epoch, rows)
            for sampler, rows in zip(self._samplers, (self.source, self.target), strict=True)
        )
        return source, target

    @cached_property
    def _samplers(self) -> list[SubwordSampler | None]:
        lines = self.lines.select(self.used)
        sides = (lines.source, self.vocabularies["source"]), (lines.target, self.vocabularies["target"])
        return [
            SubwordSampler(side, vocabulary, self.sampling, self.max_length, stream)
            if self.sampling and isinstance(vocabulary, Subwords)
            else None
            for stream, (side, vocabulary) in enumerate(sides)
        ]


def encode_pairs(
    lines: Lines,
    vocabularies: Vocabularies,
    max_length: int,
    long_lines: LongLines = "skip",
    sampling: float = 0.0,
) -> Pairs:
    """The lines as pairs for the loss and as unique sources for decoding.

    Args:
        lines: without newlines.
        vocabularies: `source` and `target`.
        max_length: the maximum length of a row, EOS counted.
        long_lines: what becomes of a pair with a longer side: it is left out, or both sides are cut.
        sampling: as in `Pairs`.

    Raises:
        DataError: no pair is left for the loss.
    """
    source = vocabularies["source"].encode_lines(lines.source)
    target = vocabularies["target"].encode_lines(lines.target)
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
        lines=lines,
        used=used,
        counts=PairCounts(
            lines=len(lines.source),
            empty=len(lines.source) - len(both),
            skipped=beyond if long_lines == "skip" else 0,
            truncated=0 if long_lines == "skip" else beyond,
        ),
        vocabularies=vocabularies,
        max_length=max_length,
        sampling=sampling,
    )


def no_pair(name: str, skipped: int = 0, max_length: int = 0) -> DataError:
    """The error of lines of which none can be learned from."""
    if skipped:
        return DataError(
            f"{name}: no pair is left, {skipped} are longer than {max_length} symbols. Raise "
            "--data.max_length, or pass --data.long_lines truncate."
        )
    return DataError(f"{name}: no line has both a source and a target; expected at least one that has.")
