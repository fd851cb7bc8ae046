"""Polyphonic music: each step is a set of notes, read from JSON files.

A file is a list of sequences, or an object that names such lists `train`, `valid` and `test`; a sequence is
a list of steps, a step a list of MIDI notes (60 is middle C; -1, a silent voice, is left out).

T time, V vocabulary (keys).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.data.file_formats import check_plain
from recurra.data.rows import Rows
from recurra.data.vocabulary import Vocabulary, text_of
from recurra.errors import DataError, RunError, ShapeError, quoted

EXAMPLE = "[[[60, 64], [62]]]"
"""A sequence of two steps, of which the first sounds two notes, as a message shows it."""

SPLITS = ("train", "valid", "test")


class Notes(Vocabulary):
    """Sets of notes that sound together, an id per key; as text, a line of MIDI numbers per step.

    Args:
        lowest, highest: MIDI notes, 0..127; the default is the 88 keys of a piano.
    """

    kind = "notes"
    unit = "steps, the nats summed over all keys"
    eos_id = None
    unk_id = None

    def __init__(self, lowest: int = 21, highest: int = 108) -> None:
        self.lowest, self.highest = lowest, highest
        self.symbols = [str(note) for note in range(lowest, highest + 1)]
        self._index = {note: key for key, note in enumerate(range(lowest, highest + 1))}

    def keys(self, notes: Sequence[int] | NDArray[Any]) -> list[int]:
        """The ids of MIDI notes; -1, a silent voice, is left out.

        Raises:
            DataError: something is not a whole number, or lies outside the range.
        """
        try:
            return [self._index[note] for note in notes if note != -1]
        except (KeyError, TypeError):
            raise DataError(self._complaint(notes)) from None

    def _complaint(self, notes: Any) -> str:
        for note in notes if isinstance(notes, list | tuple | np.ndarray) else ():
            whole = (isinstance(note, int | np.integer) and not isinstance(note, bool)) or (
                isinstance(note, float) and note.is_integer()
            )
            if not whole:
                return f"expected MIDI notes (whole numbers), got {quoted(note)}."
            if note != -1 and note not in self._index:
                outside = f"note {int(note)} lies outside {self.lowest}..{self.highest}."
                return f"{outside} Transpose it, or widen --data.note_range."
        return f"expected a list of MIDI notes, got {quoted(notes)}."

    def encode_line(self, line: str | bytes) -> NDArray[np.uint8]:
        """The note sets `[T, V]` of a text: a step per line, MIDI notes separated by white space.

        Raises:
            DataError: a word is not a MIDI note in the range.
        """
        steps = text_of(line).removesuffix("\n").split("\n") if line else []
        rows = np.zeros((len(steps), len(self)), np.uint8)
        for row, step in zip(rows, steps, strict=True):
            try:
                notes = [int(word) for word in step.split()]
            except ValueError as error:
                raise DataError(f"expected MIDI notes (whole numbers), got {quoted(step)}.") from error
            row[self.keys(notes)] = 1
        return rows

    def encode(self, text: str | bytes) -> NDArray[np.uint8]:
        """What `encode_line` gives: a line end here is the end of a step, not a symbol."""
        return self.encode_line(text)

    def encode_lines(self, lines: Sequence[str]) -> Rows:
        """Refused, with ShapeError: note sets are not rows of ids."""
        raise ShapeError("encode_lines: note sets [T, V] are not rows of ids; use encode_line.")

    def decode(self, ids: Iterable[Any] | NDArray[Any]) -> str:
        """The text of note sets `[T, V]`: a line of MIDI notes per step."""
        rows = np.asarray(ids).reshape(-1, len(self))
        return "".join(" ".join(str(key + self.lowest) for key in np.flatnonzero(row)) + "\n" for row in rows)

    def content(self) -> dict[str, Any]:
        """The range."""
        return {"kind": self.kind, "lowest": self.lowest, "highest": self.highest}

    @classmethod
    def restore(cls, content: dict[str, Any], path: Path) -> Notes:
        """The notes of this range."""
        lowest, highest = content.get("lowest"), content.get("highest")
        if type(lowest) is not int or type(highest) is not int or not 0 <= lowest <= highest <= 127:
            raise RunError(f"{path}: damaged; expected 0 <= lowest <= highest <= 127.")
        return cls(lowest, highest)


@dataclass(frozen=True, eq=False, repr=False)
class NoteSequences:
    """Sequences of note sets.

    Args:
        sequences: note sets `[T, V]` (uint8, 0 or 1), one array per sequence.
    """

    sequences: list[NDArray[np.uint8]]

    def __repr__(self) -> str:
        return f"NoteSequences({len(self.sequences):,} sequences, {self.tokens:,} steps)"

    @property
    def tokens(self) -> int:
        """The number of steps."""
        return sum(len(sequence) for sequence in self.sequences)


def parse_notes(data: bytes, name: str) -> Any:
    """The JSON value of a notes file; `name` stands in the error.

    Raises:
        DataError: it is packed or not JSON, or neither a list nor an object with one of train, valid and test.
    """
    check_plain(data, name, "utf-16")  # JSON may be in it
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name}, line {error.lineno}: not JSON ({error.msg} at column {error.colno}). "
            f"Give lists such as {EXAMPLE}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name}: not JSON that can be read ({error}). Give lists such as {EXAMPLE}."
        ) from error
    if isinstance(value, dict) and any(split in value for split in SPLITS):
        return value
    if isinstance(value, list):
        return value
    raise DataError(
        f"{name}: expected a list of sequences, or an object with train, valid and test, got {quoted(value)}. "
        f"Give lists such as {EXAMPLE}."
    )


def note_sequences(value: Any, split: str, vocabulary: Notes, name: str) -> NoteSequences:
    """The sequences of one split from what `parse_notes` returned; a plain list is every split's.

    Raises:
        DataError: the split is missing or holds no step, or something in it is not a list or a note in range.
    """
    where = f"{name}: {split}" if isinstance(value, dict) else f"{name}: sequences"
    if isinstance(value, dict):
        if split not in value:
            raise DataError(f"{name}: expected the key {split!r}, got {quoted(list(value))}. Add it.")
        value = value[split]
    sequences = [
        _sequence(sequence, vocabulary, f"{where}[{index}]")
        for index, sequence in enumerate(_list(value, where))
    ]
    if not any(len(sequence) for sequence in sequences):
        raise DataError(f"{where} holds no step; expected at least one, as in {EXAMPLE}.")
    return NoteSequences(sequences)


def _sequence(steps: Any, vocabulary: Notes, where: str) -> NDArray[np.uint8]:
    rows = np.zeros((len(_list(steps, where)), len(vocabulary)), np.uint8)
    on: list[int] = []  # positions in the flattened rows
    for index, step in enumerate(steps):
        try:
            on += [index * len(vocabulary) + key for key in vocabulary.keys(step)]
        except DataError as error:
            raise DataError(f"{where}[{index}]: {error}") from error
    rows.reshape(-1)[on] = 1
    return rows


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a list, got {quoted(value)}.")
    return value
