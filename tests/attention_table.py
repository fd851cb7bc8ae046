"""What an attention page has in its table."""

from __future__ import annotations

from html.parser import HTMLParser


class Table(HTMLParser):
    """The labels of a page, and the weights and colours of its cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.labels: dict[str, list[str]] = {"col": [], "row": []}
        self.unknown: list[bool] = []
        self.cells: list[tuple[float, str]] = []
        self._into: list[str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        held = dict(attributes)
        self.tags.append(tag)
        if tag == "th":
            self._into = self.labels[held["scope"] or ""]
            self._into.append("")
            self.unknown.append(held.get("class") == "unknown")
        if tag == "td" and "title" in held:
            self.cells.append((float(held["title"] or "nan"), held["style"] or ""))

    def handle_endtag(self, tag: str) -> None:
        self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data
