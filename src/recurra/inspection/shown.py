"""What looking at something gives, whatever it is: a picture, a page, tables, notes, and the same as plain values."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError
from recurra.inspection.figures import png, save_csv, save_figure, save_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Names of the columns, and the rows."""


@dataclass(frozen=True)
class Shown:
    """Something that was looked at; a notebook displays it, `save` writes it.

        shown = show_attention(alignment)
        shown.save("plots/attention.png")  # [plots/attention.png, plots/attention.html]

    Attributes:
        figure: the picture, or None.
        page: the same as a self-contained HTML page, or None.
        tables: the numbers behind it, which are saved beside the picture.
        printed: tables to read at once, in a terminal.
        text: what to read after them.
        notes: what to tell the user, a line each.
        record: plain values, for JSON.
        records: the same, where there are several, a line of JSON each.
        name: what its file is called, without a suffix.
        further: more of the same thing, by the names of their files without a suffix.
    """

    figure: Figure | None = None
    page: str | None = None
    tables: Sequence[Table] = ()
    printed: Sequence[Table] = ()
    text: str = ""
    notes: Sequence[str] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    records: Sequence[Mapping[str, Any]] = ()
    name: str = ""
    further: Mapping[str, Shown] = field(default_factory=dict)

    def save(self, path: str | Path) -> list[Path]:
        """Write the picture, and beside it the page and the tables; missing folders are made.

        Args:
            path: of the picture, ending in `.png`. The page ends in `.html` instead, the first table in `.csv`,
                a second one in `_2.csv`; what is in `further` has its own name in the same folder.

        Returns:
            The files, in that order.

        Raises:
            ConfigError: `path` does not end in `.png`.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ConfigError(f"path: expected a file that ends in .png, got {str(path)!r}.")
        files = []
        if self.figure is not None:
            files.append(save_figure(self.figure, path))
        if self.page is not None:
            files.append(save_text(self.page, path.with_suffix(".html")))
        for number, (columns, rows) in enumerate(self.tables, start=1):
            name = f"{path.stem}.csv" if number == 1 else f"{path.stem}_{number}.csv"
            files.append(save_csv(columns, rows, path.with_name(name)))
        for name, shown in self.further.items():
            files += shown.save(path.with_name(f"{name}.png"))
        return files

    def _repr_png_(self) -> bytes | None:
        """The picture, for a notebook."""
        return None if self.figure is None else png(self.figure)

    def _repr_html_(self) -> str | None:
        """The page, for a notebook: in a frame, so that its styles stay its own."""
        if self.page is None:
            return None
        frame = 'sandbox="allow-scripts" style="width: 100%; height: 32rem; border: 0"'
        return f'<iframe srcdoc="{html.escape(self.page)}" {frame}></iframe>'
