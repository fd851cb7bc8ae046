"""What verbs print on standard output: tables, ruled by rich on a terminal and plain otherwise, and JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from recurra.durable import json_line

NARROWEST = 20
"""A terminal that reports fewer columns reports them wrongly (0, in many containers); rich would cut all cells away."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print `rows` under the names of `columns`; numbers to the right, floats with four decimals."""
    texts = [[_text(value) for value in row] for row in rows]
    right = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
    if sys.stdout.isatty():
        _print_ruled(columns, texts, right)
    else:
        _print_plain(columns, texts, right)


def print_json(record: Mapping[str, object]) -> None:
    """Print `record` as one line of JSON, at once; an infinite figure, which JSON does not know, becomes null."""
    print(json_line(record), flush=True)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1e7 else f"{value:.4g}"
    return str(value)


def _print_ruled(columns: Sequence[str], texts: list[list[str]], right: list[bool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name, is_right in zip(columns, right, strict=True):
        table.add_column(name, justify="right" if is_right else "left")
    for row in texts:
        table.add_row(*map(Text, row))  # Text: square brackets are not markup
    console = Console()
    if console.width < NARROWEST:
        console = Console(width=80)
    console.print(table)


def _print_plain(columns: Sequence[str], texts: list[list[str]], right: list[bool]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for row in [list(columns), *texts]:
        cells = [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(row, widths, right, strict=True)
        ]
        print("  ".join(cells).rstrip())
