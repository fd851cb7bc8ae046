"""The text of the code that a cell's class comes from: kept with a run for reading, and never executed."""

from __future__ import annotations

import hashlib
import linecache
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from recurra.cells.cell import Cell

TEXT = "__recurra_text__"
"""Where a module that `lookup` made of a file keeps the text that was executed."""

LONGEST = 1 << 20
"""Bytes of text that are kept at most."""


@dataclass(frozen=True)
class Code:
    """Where a cell's class comes from.

    Attributes:
        file: its absolute path; None for a class of a notebook or of Python's prompt.
        text: what the file or the notebook's cell holds; None where it is not available or longer than `LONGEST`.
    """

    file: str | None
    text: bytes | None

    @property
    def sha256(self) -> str | None:
        """The digest of the text (hexadecimal)."""
        return None if self.text is None else hashlib.sha256(self.text).hexdigest()


def code_of(cell: type[Cell]) -> Code:
    """Where a class comes from, and the text of it."""
    module = sys.modules.get(cell.__module__)
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not Path(file).is_file():
        return Code(None, _limited(_typed_in(cell)))
    text = getattr(module, TEXT, None)
    if not isinstance(text, bytes):
        text = _content(Path(file))
    return Code(str(Path(file).resolve()), _limited(text))


def _content(file: Path) -> bytes | None:
    """The content of a file of at most `LONGEST` bytes; None where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return stream.read(LONGEST + 1)
    except OSError:
        return None


def _typed_in(cell: type[Cell]) -> bytes | None:
    """What was typed in where the class was made, which notebooks and newer prompts remember."""
    for value in vars(cell).values():
        if isinstance(value, FunctionType):
            lines = linecache.getlines(value.__code__.co_filename, value.__globals__)
            if lines:
                return "".join(lines).encode("utf-8", "backslashreplace")
    return None


def _limited(text: bytes | None) -> bytes | None:
    return None if text is None or len(text) > LONGEST else text
