"""A text of symbols that are hard to show, activations for it, and what a page has of them."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

from recurra.inspection.activations import Activations

HOSTILE = [
    "<script>",
    "&",
    '"',
    "'",
    "</script>",
    "{x}",
    "$a$",
    "\\alpha",
    "\x00",
    "漢",
    "",
    "\n",
    "\t",
    "it\n",
]


class Page(HTMLParser):
    """The coloured symbols of a page, and the names of all its elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.symbols: list[str] = []
        self.styles: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "i":
            self.symbols.append("")
            self.styles.append(dict(attributes)["style"] or "")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "i" and self.symbols[-1] == "":
            self.symbols[-1] = data


def activations(symbols: list[str], units: int = 3, **options: object) -> Activations:
    values = np.random.default_rng(5).uniform(-1, 1, (len(symbols), units))
    return Activations(symbols, values, **options)  # type: ignore[arg-type]
