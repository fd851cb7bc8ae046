"""What `recurra inspect` writes and prints of what a view shows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recurra.cli.options import Options
from recurra.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from recurra.inspection.shown import Shown


def show(shown: Shown, name: str, out: Path, as_json: bool) -> None:
    """Save pictures and pages, and print what is to be read: files' names, where there is nothing else.

    Args:
        shown: what a view gives.
        name: of the view.
        out: the picture's file, or a folder.
        as_json: print plain values instead of tables and text; a single record with the files' names.
    """
    file = out if out.suffix.lower() == ".png" else out / f"{shown.name or name}.png"
    files = shown.save(file)
    for note in shown.notes:
        print(f"recurra: {note}", file=sys.stderr)
    has_more = bool(shown.printed or shown.text)
    for written in files:
        if as_json or has_more:
            print(f"recurra: wrote {written}", file=sys.stderr)
        else:
            print(written)
    if as_json:
        whole = {**shown.record, "files": [str(one) for one in files]}
        for record in shown.records or [whole]:
            print_json(record)
        return
    for columns, rows in shown.printed:
        print_table(columns, rows)
    if shown.text:
        print(shown.text)


def add_output(options: Options) -> None:
    """Add `--out` and `--json`."""
    options.group("the output, and the run")
    options.add(
        "out",
        str | None,
        None,
        "the picture's file, .png, or a folder for all files (default: the run's plots)",
        "FILE.png",
    )
    options.flag("json", "print JSON")
