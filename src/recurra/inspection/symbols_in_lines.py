"""Where the symbols of a text stand on lines of equally wide characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recurra.inspection.label_fonts import printable


@dataclass(frozen=True)
class Cell:
    """One symbol on the page: which one, where (characters from the left, lines from the top), what is shown."""

    index: int
    line: int
    column: int
    text: str


def apart(symbols: Sequence[str]) -> bool:
    """Whether symbols are words or parts of them, with a space between any two: most are longer than a character.

    A few long labels among characters, such as `<unk>` or an escaped U+202F, do not space out all the others.
    """
    inside = [symbol for symbol in symbols if symbol.strip("\n")]
    return 2 * sum(len(symbol.rstrip("\n")) > 1 for symbol in inside) > len(inside)


def layout(symbols: Sequence[str], columns: int) -> list[Cell]:
    """Place symbols on lines of `columns` characters; a line end shows as ↵ and ends its line.

    Words and subwords get a space between them and are never split, except one that is longer than a line,
    which is cut.
    """
    gap = 1 if apart(symbols) else 0
    cells, line, column = [], 0, 0
    for index, symbol in enumerate(symbols):
        text = printable(symbol)[:columns]
        if column and column + len(text) > columns:
            line, column = line + 1, 0
        cells.append(Cell(index, line, column, text))
        column += len(text) + gap
        if symbol.endswith("\n"):
            line, column = line + 1, 0
    return cells
