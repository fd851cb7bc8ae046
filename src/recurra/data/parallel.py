"""Parallel lines: two files line by line, or one file of two tab-separated columns.

N lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.data.files import read_bytes, shown_path
from recurra.data.held_out import SEED
from recurra.data.line_ends import split_lines
from recurra.data.text import decode_text, digest_of
from recurra.errors import DataError, quoted

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
            _lines(decode_text(data, encoding, shown_path(path)))
            for data, path in zip(read, pair, strict=True)
        )
        if len(source) != len(target):
            left, right = map(shown_path, pair)
            raise DataError(
                f"{option}_source {left} has {len(source)} lines and {option}_target {right} has "
                f"{len(target)}; expected as many of each.{_where(source, target)} Fix or align the files."
            )
        sides[0].extend(source)
        sides[1].extend(target)
    return Lines(*sides, digest_of(contents), ", ".join([*sources, *targets]))


def read_columns(paths: Sequence[str], encoding: str, columns: Sequence[int] | None = None) -> Lines:
    """Two columns of tab-separated files, joined in order; an empty line is a pair of empty sides.

    Args:
        paths: the files.
        encoding: of their text.
        columns: which ones are the source and the target, counted from 1; None: there are exactly two.

    Raises:
        DataError: a file cannot be read, or a line has too few columns or, where none are named, too many.
    """
    contents = [read_bytes(path) for path in paths]
    sides: tuple[list[str], list[str]] = [], []
    source, target = columns or (1, 2)
    for data, path in zip(contents, paths, strict=True):
        name = shown_path(path)
        for number, line in enumerate(split_lines(decode_text(data, encoding, name)), 1):
            parts = line.split("\t")
            count = len(parts)
            if not line.strip():
                parts = [""] * max(source, target)
            elif count < max(source, target) or (columns is None and count > 2):
                raise _wrong_columns(f"{name}, line {number}", count, line, columns)
            sides[0].append(parts[source - 1].strip())
            sides[1].append(parts[target - 1].strip())
    return Lines(*sides, digest_of(contents), ", ".join(map(shown_path, paths)))


def _wrong_columns(where: str, count: int, line: str, columns: Sequence[int] | None) -> DataError:
    got = f"got {count} ({quoted(line[:40])})"
    if columns is not None:
        return DataError(
            f"{where}: expected at least {max(columns)} columns with tabs between them, as --data.columns names them; "
            f"{got}."
        )
    remedy = (
        "If two of them are the source and the target, name them: --data.columns 1 2."
        if count > 2
        else "Write the source, a tab, and the target."
    )
    return DataError(f"{where}: expected two columns with one tab between them, {got}. {remedy}")


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
    order = np.random.default_rng(SEED).permutation(len(numbers))
    part = np.zeros(len(numbers) + 1, np.int64)  # the last entry serves the pairs with an empty side
    for index in range(parts):
        part[order[index * size : (index + 1) * size]] = index + 1
    return [lines.select(np.flatnonzero(part[known] == index)) for index in range(parts + 1)]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in split_lines(text)]


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
