"""Parallel lines: two files line by line, or one file of two tab-separated columns.

N lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.data.text import decode_text, digest_of, read_bytes
from recurra.errors import DataError

HELD_OUT_SEED = 20150119  # fixed, so that every run of the same files holds out the same sources
MISALIGNED_NATS = 3.0  # how much better the lines' lengths must agree before a place is named


@dataclass(frozen=True)
class Lines:
    """Lines side by side, white space at their ends dropped.

    Args:
        source, target: N lines each.
        digest: SHA-256 of what they were read from.
        name: the files, for errors.
    """

    source: list[str]
    target: list[str]
    digest: str
    name: str

    def both(self) -> NDArray[np.int64]:
        """The lines of which neither side is empty `[P]` (int64)."""
        return np.flatnonzero(
            [bool(source and target) for source, target in zip(self.source, self.target, strict=True)]
        )

    def select(self, rows: NDArray[np.int64]) -> Lines:
        """The given lines `[R]`, in that order."""
        indices = rows.tolist()
        source, target = ([side[index] for index in indices] for side in (self.source, self.target))
        return Lines(source, target, self.digest, self.name)


def read_parallel(
    sources: Sequence[str], targets: Sequence[str], encoding: str, option: str = "data.train"
) -> Lines:
    """The lines of source files beside those of as many target files, joined in order.

    Raises:
        DataError: a file cannot be read, or two that belong together differ in their number of lines.
    """
    contents: list[bytes] = []
    sides: tuple[list[str], list[str]] = [], []
    for pair in zip(sources, targets, strict=True):
        read = [read_bytes(path) for path in pair]
        contents += read
        source, target = (
            _lines(decode_text(data, encoding, path)) for data, path in zip(read, pair, strict=True)
        )
        if len(source) != len(target):
            raise DataError(
                f"{option}_source {pair[0]} has {len(source)} lines and {option}_target {pair[1]} has "
                f"{len(target)}; expected as many of each.{_where(source, target)} Fix or align the files."
            )
        sides[0].extend(source)
        sides[1].extend(target)
    return Lines(*sides, digest_of(contents), ", ".join([*sources, *targets]))


def read_columns(paths: Sequence[str], encoding: str, target_first: bool = False) -> Lines:
    """The two columns of tab-separated files, joined in order; an empty line is a pair of empty sides.

    Raises:
        DataError: a file cannot be read, or a line has not exactly one tab.
    """
    contents = [read_bytes(path) for path in paths]
    columns: tuple[list[str], list[str]] = [], []
    for data, path in zip(contents, paths, strict=True):
        for number, line in enumerate(decode_text(data, encoding, path).removesuffix("\n").split("\n"), 1):
            first, _, second = line.partition("\t")
            if line.count("\t") != 1 and line.strip():
                raise DataError(
                    f"{path}, line {number}: expected two columns with one tab between them, got "
                    f"{line.count(chr(9)) + 1} ({line[:40]!r}). Cut the file to its source and target columns."
                )
            columns[0].append(first.strip())
            columns[1].append(second.strip())
    source, target = columns[::-1] if target_first else columns
    return Lines(source, target, digest_of(contents), ", ".join(paths))


def hold_out(lines: Lines, parts: int, share: float) -> list[Lines]:
    """The lines cut by source: what stays, then `parts` parts of `share` of the unique sources each.

    The sources come in an order drawn with a fixed seed, as dictionaries are sorted; each keeps all its
    targets. Pairs with an empty side stay.

    Raises:
        DataError: a part, or what stays, would be empty.
    """
    numbers: dict[str, int] = {}
    known = [
        numbers.setdefault(source, len(numbers)) if source and target else -1
        for source, target in zip(lines.source, lines.target, strict=True)
    ]
    size = round(share * len(numbers))
    if parts and not 0 < size * parts < len(numbers):
        raise DataError(
            f"{lines.name}: {len(numbers)} unique sources are too few to hold out a share of {share:g}. "
            "Pass --data.valid FILE.tsv, or another --data.held_out."
        )
    order = np.random.default_rng(HELD_OUT_SEED).permutation(len(numbers))
    part = np.zeros(len(numbers) + 1, np.int64)  # the last entry serves the pairs with an empty side
    for index in range(parts):
        part[order[index * size : (index + 1) * size]] = index + 1
    return [lines.select(np.flatnonzero(part[known] == index)) for index in range(parts + 1)]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _where(source: list[str], target: list[str]) -> str:
    line = first_misaligned_line(source, target)
    return "" if line is None else f" First suspicious line: {line}."


def first_misaligned_line(source: Sequence[str], target: Sequence[str]) -> int | None:
    """The first line, counted from 1, at which two files of different length stop matching each other.

    The longer file is taken to have one block of lines too many. Lines that translate each other have similar
    lengths, so its place is where the lengths before it agree as they stand, and those after it with the block
    left out.

    Returns:
        The line, or None where no place is clearly better than the end of the shorter file.
    """
    longer, shorter = (np.log1p([len(line) for line in side]) for side in (source, target))
    if len(longer) < len(shorter):
        longer, shorter = shorter, longer
    longer, shorter = longer - np.median(longer), shorter - np.median(shorter)
    extra = len(longer) - len(shorter)
    straight = np.abs(longer[: len(shorter)] - shorter)  # [N]
    shifted = np.abs(longer[extra:] - shorter)  # [N]
    gains = np.append(np.cumsum((straight - shifted)[::-1])[::-1], 0.0)  # [N + 1], by the place of the block
    place = int(gains.argmax())
    after = len(shorter) - place
    return place + 1 if gains[place] > max(MISALIGNED_NATS, 0.1 * after) else None
