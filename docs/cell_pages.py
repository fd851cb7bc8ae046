"""Writes docs/cells/<name>.md: each built-in cell's step, forwards and backwards, typeset.

python docs/cell_pages.py
"""

from __future__ import annotations

from pathlib import Path

from recurra.cells import CELLS
from recurra.cells.equations import equations

FOLDER = Path(__file__).with_name("cells")


def page(name: str) -> str:
    """The page of one cell."""
    cell = CELLS[name]
    summary = (cell.__doc__ or "").strip().splitlines()[0]
    lines = [f"# {name}", "", summary, ""]
    for part in equations(cell(1, 1).program, latex=True).split("\n\n"):
        title, formula = part.split("\n", 1)
        lines += [f"{title.removeprefix('% ').capitalize()}:", "", "```math", formula, "```", ""]
    lines += [
        f"`recurra explain --cell {name} --equations` prints the same as text. [Cells](../cells.md) has the notation.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in CELLS:
        (FOLDER / f"{name}.md").write_text(page(name), encoding="utf-8")
