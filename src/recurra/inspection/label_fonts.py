"""Labels in any script: which fonts draw them, and which of their characters no font here has.

matplotlib brings DejaVu Sans, which has Latin, Greek, Cyrillic, Hebrew, Arabic and more, and shapes and orders
right-to-left text itself. Other scripts need a font that is installed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

FIRST = "DejaVu Sans"
PLACEHOLDERS = "Last Resort"  # has a glyph for every character: a box

_SIGNS = {"\n": "↵", "\t": "→", "\r": "←"}
_JOINERS = "\u200c\u200d"  # not printable, but they shape Arabic and Indic words


@dataclass(frozen=True)
class LabelFonts:
    """How a set of labels can be drawn.

    Attributes:
        families: names of fonts, in the order in which a glyph is looked for.
        missing: the characters that no known font has, by code point.
    """

    families: tuple[str, ...]
    missing: str

    def draws(self, label: str) -> bool:
        """Every character of the label has a glyph."""
        return not set(label).intersection(self.missing)

    def written(self, labels: Sequence[str]) -> list[str]:
        """The labels; in the place of one that cannot be drawn its number, from 1, in brackets."""
        return [label if self.draws(label) else f"[{number}]" for number, label in enumerate(labels, start=1)]

    def prose(self, text: str) -> str:
        """A text, U+FFFD in the place of each character that cannot be drawn."""
        return "".join("\ufffd" if character in self.missing else character for character in text)

    def note(self, instead: str) -> str:
        """What to tell the user about the missing characters, in one line; empty where there are none.

        Args:
            instead: what the picture has in the place of labels with such characters.
        """
        if not self.missing:
            return ""
        some = " ".join(self.missing[:8]) + (" ..." if len(self.missing) > 8 else "")
        east_asian = any(unicodedata.east_asian_width(character) == "W" for character in self.missing)
        package = "fonts-noto-cjk" if east_asian else "fonts-noto-core"
        return (
            f"no font here has {some}; {instead}. To draw them, install a font that has them "
            f"(on Debian: apt-get install {package})."
        )


def label_fonts(labels: Iterable[str]) -> LabelFonts:
    """Fonts that together draw the labels, as few as are found; DejaVu Sans is always the first.

    Fonts installed since matplotlib made its list are found too.
    """
    needed = {character for label in labels for character in label}
    needed -= _drawn_by(FIRST, needed)
    families = [FIRST]
    for refreshed in (False, True):
        if needed and refreshed:
            _refresh()
        while needed:
            drawn = {name: _drawn_by(name, needed) for name in _names()}
            best = max(drawn, key=lambda name: (len(drawn[name]), "Sans" in name, "Mono" not in name, name))
            if not drawn[best]:
                break
            families.append(best)
            needed -= drawn[best]
    return LabelFonts(tuple(families), "".join(sorted(needed)))


def visible(symbol: str) -> str:
    """A symbol as a label: a sign in the place of white space, whichever kind, and of what does not print."""
    return printable(symbol).replace(" ", "␣")


def printable(symbol: str) -> str:
    """A symbol as a piece of text: every kind of space is one space, what does not print has a sign in its place."""
    return "".join(map(_sign, symbol)) or "∅"


def _sign(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    if unicodedata.category(character) == "Zs":  # U+202F and U+00A0 of French among them
        return " "
    return character if character.isprintable() or character in _JOINERS else "\ufffd"


def right_to_left(labels: Iterable[str]) -> bool:
    """Whether more letters of the labels run from right to left than from left to right."""
    directions = [unicodedata.bidirectional(character) for label in labels for character in label]
    return sum(each in ("R", "AL") for each in directions) > sum(each == "L" for each in directions)


def width(label: str) -> int:
    """About how many Latin letters wide a label is: East Asian characters count twice, marks not at all."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in label
    )


def _names() -> list[str]:
    """The families of which matplotlib knows an upright font of normal weight, sorted."""
    from matplotlib.font_manager import fontManager

    return sorted(
        {
            font.name
            for font in fontManager.ttflist
            if (font.style, font.weight) == ("normal", 400) and not font.name.startswith(PLACEHOLDERS)
        }
    )


def _drawn_by(name: str, characters: set[str]) -> set[str]:
    """Those of the characters for which a family's upright font of normal weight has a glyph."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=name)))
    return {character for character in characters if font.get_char_index(ord(character))}


@cache
def _refresh() -> None:
    """Make known to matplotlib, once, the fonts that were installed since it made its list of them."""
    from matplotlib.font_manager import FontManager, fontManager

    known = {font.fname for font in fontManager.ttflist}
    for path in sorted({font.fname for font in FontManager().ttflist} - known):
        fontManager.addfont(path)
