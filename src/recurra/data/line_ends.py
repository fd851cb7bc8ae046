r"""What a line is, for every text that is read: `\n` or `\r\n` ends it, and nothing else does.

A lone `\r`, a vertical tab, a form feed, NEL and U+2028 are characters of their line, as they are for `wc -l`. The one
exception is a file that has `\r` and no `\n` at all, which is an old Macintosh's: there `\r` ends a line.
"""

from __future__ import annotations

import logging
from typing import overload

from recurra.data.file_formats import STANDARD_INPUT

LOGGER = logging.getLogger("recurra")


def split_lines(text: str) -> list[str]:
    r"""The lines of a text whose line ends are `\n`; what follows the last one is a line unless it is empty."""
    return text.removesuffix("\n").split("\n")


@overload
def with_plain_ends(text: str, name: str) -> str: ...
@overload
def with_plain_ends(text: bytes, name: str) -> bytes: ...
def with_plain_ends(text: str | bytes, name: str) -> str | bytes:
    r"""A whole text with `\n` at the end of each line; an old Macintosh's is named in a note (`logging`, "recurra").

    Args:
        text: of a file or a stream, from its beginning to its end.
        name: of the file, or `STANDARD_INPUT`, of which lines are read as they come: it is never an old Macintosh's.
    """
    old = is_old_macintosh(text, name)
    if old:
        LOGGER.warning(r"recurra: %s: \r ends its lines, and no \n is there, as on an old Macintosh.", name)
    if isinstance(text, bytes):
        return text.replace(b"\r" if old else b"\r\n", b"\n")
    return text.replace("\r" if old else "\r\n", "\n") if "\r" in text else text


def is_old_macintosh(text: str | bytes, name: str) -> bool:
    r"""Whether the lines of a file end in `\r`."""
    if name == STANDARD_INPUT:
        return False
    return (
        b"\r" in text and b"\n" not in text if isinstance(text, bytes) else "\r" in text and "\n" not in text
    )


def position(before: str, end: str = "\n") -> tuple[int, int]:
    """Line and column, both from 1, of what follows the text `before`, whose lines have that `end`."""
    before = before.removeprefix("\ufeff")
    return before.count(end) + 1, len(before) - before.rfind(end)
