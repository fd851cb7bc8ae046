"""Vocabularies: text to ids and back. Words, characters and bytes; the other kinds have their own files.

Id 0 of words and characters ends a line (EOS), id 1 is the unknown symbol (UNK). Neither is ever written into a
text: lines are encoded to rows of ids, so what looks like a symbol in a text is text.

T time, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from recurra.data.rows import Rows, offsets_of
from recurra.durable import write_atomic
from recurra.errors import ConfigError, DataError, RunError, ShapeError, quoted

EOS, UNK = "<eos>", "<unk>"
FILE_NAME = "vocabulary.json"
FORMAT = "recurra.vocabulary/1"
SURROGATE = re.compile("[\ud800-\udfff]")
BLOCK = 1 << 18  # characters at a time, so that few words are held at once, in the processor's cache

LineEnd = Literal["newline", "eos"]
Ids = NDArray[np.int64]


class Vocabulary(ABC):
    """Symbols numbered from 0.

    Attributes:
        kind: the name in `data.vocabulary`.
        unit: what one token is, in words, for a score's recipe.
        eos_id: the id that ends a line (EOS, or the newline); None where there is none.
        unk_id: the id of UNK; None where nothing is unknown.
        symbols: a printable label for each id.
        reads_bytes: texts are bytes, and lines are their bytes, in no encoding.
    """

    kind: ClassVar[str]
    reads_bytes: ClassVar[bool] = False
    unit: str
    eos_id: int | None
    unk_id: int | None
    symbols: list[str]
    _ends_last_line: bool = True

    def __len__(self) -> int:
        return len(self.symbols)

    def __repr__(self) -> str:
        first = ", ".join(map(repr, self.symbols[:6]))
        return f"{type(self).__name__}({len(self)} symbols: {first}{', ...' if len(self) > 6 else ''})"

    @abstractmethod
    def encode_line(self, line: str | bytes) -> NDArray[Any]:
        """The ids `[T]` (int64) of a piece of text: a newline becomes `eos_id`, none is added at the end."""

    def encode(self, text: str | bytes) -> NDArray[Any]:
        """The ids `[T]` (int64) of a whole text, one `eos_id` per line, also where the last newline is missing.

        Where the line end is the newline itself, the text is taken exactly as it is.
        """
        ids = self.encode_line(text)
        ended = text.endswith("\n") if isinstance(text, str) else text.endswith(b"\n")
        if not text or ended or self.eos_id is None or not self._ends_last_line:
            return ids
        return np.append(ids, np.int64(self.eos_id))

    @abstractmethod
    def encode_lines(self, lines: Sequence[str]) -> Rows:
        """A row of ids for each line, `eos_id` last; the lines hold no newline."""

    @abstractmethod
    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        r"""The text of ids `[T]`; `eos_id` gives `\n`.

        Raises:
            ShapeError: an id is outside 0..V-1.
        """

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything that encoding depends on."""
        return hashlib.sha256(_json(self.content()).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write `vocabulary.json` into an existing folder: to a temporary file, flushed, then renamed."""
        write_atomic(Path(folder) / FILE_NAME, _json({"format": FORMAT, **self.content()}).encode())

    @abstractmethod
    def content(self) -> dict[str, Any]:
        """Plain values from which `restore` builds the same vocabulary."""

    @classmethod
    @abstractmethod
    def restore(cls, content: dict[str, Any], path: Path) -> Vocabulary:
        """The vocabulary of what `content` gave and `path` holds.

        Raises:
            RunError: a value is missing or damaged.
        """

    def _checked(self, ids: Iterable[int] | NDArray[Any]) -> Ids:
        array = np.asarray(ids if hasattr(ids, "__array__") else list(ids), np.int64).reshape(-1)
        if array.size and not 0 <= array.min() <= array.max() < len(self):
            raise ShapeError(f"ids: expected 0..{len(self) - 1}, got {array.min()}..{array.max()}.")
        return array


class Words(Vocabulary):
    """White-space separated words, case kept; ids by falling count, then by code points.

    A literal `<unk>` in a text is UNK, as corpora such as PTB and WikiText-2 write their unknown words so. Every
    other word is a word, a literal `<eos>` too.

    Args:
        words: the words of ids 2, 3, ...; EOS is id 0 and UNK is id 1.
    """

    kind = "words"
    unit = "words, and one <eos> per line"
    eos_id: int = 0
    unk_id: int = 1

    def __init__(self, words: Sequence[str]) -> None:
        self.symbols = [EOS, UNK, *words]
        # White space is never part of a word, so the newline can stand for the end of a line.
        self._index = {"\n": self.eos_id, UNK: self.unk_id} | {
            word: index for index, word in enumerate(words, 2)
        }

    @classmethod
    def build(cls, text: str, minimum_count: int = 1, maximum_size: int | None = None) -> Words:
        """The words that `text` holds `minimum_count` times or more; `maximum_size` counts EOS and UNK too.

        Raises:
            DataError: nothing but EOS and UNK would be left.
        """
        counts: Counter[str] = Counter()
        for block in _text_blocks(text):
            counts.update(block.split())
        del counts[UNK]
        return cls(_ranked(counts, minimum_count, maximum_size, "word"))

    def encode_line(self, line: str | bytes) -> Ids:
        """The ids `[T]` (int64) of the words of a piece of text, EOS for each newline."""
        # The end of a block is not the end of a line: its last EOS goes.
        parts = [self._rows(block.split("\n")).ids[:-1] for block in _text_blocks(text_of(line))]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def encode_lines(self, lines: Sequence[str]) -> Rows:
        """A row for each line: the ids of its words, EOS last."""
        return encode_by_blocks(lines, self._rows)

    def _rows(self, lines: Sequence[str]) -> Rows:
        words: list[str] = []
        offsets = [0]
        for line in lines:
            words += line.split()
            words.append("\n")
            offsets.append(len(words))
        ids = np.fromiter(map(self._index.get, words, repeat(self.unk_id)), np.int64, len(words))
        return Rows(ids, np.array(offsets, np.int64))

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """The words of ids `[T]` joined by a space, EOS as the newline."""
        words = [
            "\n" if index == self.eos_id else self.symbols[index] for index in self._checked(ids).tolist()
        ]
        return " ".join(words).replace(" \n", "\n").replace("\n ", "\n")

    def content(self) -> dict[str, Any]:
        """The words."""
        return {"kind": self.kind, "words": self.symbols[2:]}

    @classmethod
    def restore(cls, content: dict[str, Any], path: Path) -> Words:
        """The vocabulary of these words."""
        words = checked_symbols(content, "words", path, {UNK})
        for word in words:
            if word.split() != [word]:
                raise RunError(f"{path}: damaged; expected words without white space, got {quoted(word)}.")
        return cls(words)


class Characters(Vocabulary):
    """Single characters (code points); ids by falling count, then by code points.

    Args:
        characters: the characters of ids 2, 3, ...; id 0 ends a line and id 1 is UNK (decoded as U+FFFD).
        line_end: `newline`: the newline is a character like any other, and the text is taken as it is;
            `eos`: every line ends with an EOS symbol, and the newline is not a character.
    """

    kind = "characters"
    eos_id: int = 0
    unk_id: int = 1

    def __init__(self, characters: Sequence[str], line_end: LineEnd = "newline") -> None:
        self._characters = list(characters)
        self._line_end: LineEnd = line_end
        self._ends_last_line = line_end == "eos"
        self.symbols = [_label("\n") if line_end == "newline" else EOS, UNK, *map(_label, characters)]
        self.unit = "characters" + (
            ", newlines included" if line_end == "newline" else ", and one <eos> per line"
        )
        points = np.array([ord("\n"), *map(ord, characters)])
        # The last entry stands for every character beyond the table.
        self._table = np.full(points.max() + 2, self.unk_id, np.int64)
        self._table[points] = [self.eos_id, *range(2, 2 + len(characters))]

    @classmethod
    def build(
        cls, text: str, line_end: LineEnd = "newline", minimum_count: int = 1, maximum_size: int | None = None
    ) -> Characters:
        """The characters that `text` holds `minimum_count` times or more; `maximum_size` counts all symbols.

        Raises:
            DataError: nothing but the line end and UNK would be left.
        """
        counts: Counter[str] = Counter()
        for points in _code_points(text):
            here = np.bincount(points)
            counts.update({chr(point): int(here[point]) for point in np.flatnonzero(here)})
        del counts["\n"]
        return cls(_ranked(counts, minimum_count, maximum_size, "character"), line_end)

    def encode_line(self, line: str | bytes) -> Ids:
        """The ids `[T]` (int64) of the characters of a piece of text, `eos_id` for each newline."""
        line = text_of(line)
        ids, position = np.empty(len(line), np.int64), 0
        for points in _code_points(line):
            np.minimum(points, len(self._table) - 1, out=points)
            ids[position : position + len(points)] = self._table[points]
            position += len(points)
        return ids

    def encode_lines(self, lines: Sequence[str]) -> Rows:
        """A row for each line: the ids of its characters, `eos_id` last."""
        lengths = np.fromiter(map(len, lines), np.int64, len(lines))
        return Rows(self.encode_line("\n".join([*lines, ""])), offsets_of(lengths + 1))

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """The characters of ids `[T]`; UNK becomes U+FFFD."""
        characters = ["\n", "\ufffd", *self._characters]
        return "".join([characters[index] for index in self._checked(ids).tolist()])

    def content(self) -> dict[str, Any]:
        """The characters, and what ends a line."""
        return {"kind": self.kind, "line_end": self._line_end, "characters": self._characters}

    @classmethod
    def restore(cls, content: dict[str, Any], path: Path) -> Characters:
        """The vocabulary of these characters."""
        characters = checked_symbols(content, "characters", path, {"\n"})
        if any(len(character) != 1 for character in characters):
            raise RunError(f"{path}: damaged; expected single characters in `characters`.")
        return cls(characters, _checked_line_end(content, path))


class Bytes(Vocabulary):
    """The 256 bytes; nothing is unknown. A `str` is taken as its UTF-8 bytes.

    Args:
        line_end: `newline`: byte 10, and the text is taken as it is; `eos`: id 256 ends every line.
    """

    kind = "bytes"
    reads_bytes = True
    unk_id = None

    def __init__(self, line_end: LineEnd = "newline") -> None:
        self._line_end: LineEnd = line_end
        self._ends_last_line = line_end == "eos"
        self.eos_id: int = ord("\n") if line_end == "newline" else 256
        self.symbols = [chr(byte) if 33 <= byte < 127 else f"\\x{byte:02x}" for byte in range(256)]
        self.symbols += [EOS] if line_end == "eos" else []
        self.unit = "bytes" + (", newlines included" if line_end == "newline" else ", and one <eos> per line")

    def encode_line(self, line: str | bytes) -> Ids:
        """The ids `[T]` (int64) of the bytes of a piece of text, `eos_id` for each newline."""
        ids = np.frombuffer(_bytes_of(line), np.uint8).astype(np.int64)
        ids[ids == ord("\n")] = self.eos_id
        return ids

    def encode_lines(self, lines: Sequence[str]) -> Rows:
        """A row for each line: the ids of its bytes, `eos_id` last."""
        data = list(map(_bytes_of, lines))
        lengths = np.fromiter(map(len, data), np.int64, len(data))
        return Rows(self.encode_line(b"\n".join([*data, b""])), offsets_of(lengths + 1))

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        r"""The text of ids `[T]`, read as UTF-8; bytes that are not become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int] | NDArray[Any]) -> bytes:
        r"""The bytes of ids `[T]`; `eos_id` gives `\n`."""
        array = self._checked(ids)
        return np.where(array == self.eos_id, ord("\n"), array).astype(np.uint8).tobytes()

    def content(self) -> dict[str, Any]:
        """What ends a line."""
        return {"kind": self.kind, "line_end": self._line_end}

    @classmethod
    def restore(cls, content: dict[str, Any], path: Path) -> Bytes:
        """The bytes, with this line end."""
        return cls(_checked_line_end(content, path))


def text_of(text: str | bytes) -> str:
    """The text itself; bytes are read as UTF-8."""
    return text if isinstance(text, str) else text.decode("utf-8", errors="replace")


def encode_by_blocks(lines: Sequence[str], encode: Callable[[Sequence[str]], Rows]) -> Rows:
    """What `encode` makes of the lines, called with about `BLOCK` characters of them at a time."""
    ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1)
    parts, begin = [], 0
    while begin < len(lines):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
        parts.append(encode(lines[begin:end]))
        begin = end
    return Rows.join(parts)


def checked_symbols(content: dict[str, Any], key: str, path: Path, reserved: set[str]) -> list[str]:
    """The strings that a vocabulary's file holds under `key`.

    Raises:
        RunError: they are no list of strings, or one is there twice or reserved.
    """
    symbols = content.get(key)
    if not isinstance(symbols, list) or not symbols or not all(isinstance(symbol, str) for symbol in symbols):
        raise RunError(f"{path}: damaged; expected `{key}` to be a list of strings.")
    for symbol in symbols:
        if SURROGATE.search(symbol):
            raise RunError(
                f"{path}: damaged; expected text in `{key}`, got the lone surrogate {quoted(symbol)}."
            )
    if len(set(symbols)) != len(symbols) or reserved.intersection(symbols):
        without = f", without {sorted(reserved)}" if reserved else ""
        raise RunError(f"{path}: damaged; expected every symbol of `{key}` once{without}.")
    return symbols


def _bytes_of(text: str | bytes) -> bytes:
    return text.encode("utf-8", errors="surrogatepass") if isinstance(text, str) else text


def _text_blocks(text: str) -> Iterator[str]:
    """The text in pieces of about `BLOCK` characters, none of which ends inside a word."""
    space, start = re.compile(r"\s"), 0
    while start < len(text):
        match = space.search(text, start + BLOCK)
        end = match.start() if match else len(text)
        yield text[start:end]
        start = end


def _code_points(text: str) -> Iterator[NDArray[np.uint32]]:
    for start in range(0, len(text), BLOCK):
        block = text[start : start + BLOCK].encode("utf-32-le", errors="surrogatepass")
        yield np.frombuffer(block, np.uint32).copy()


def _ranked(counts: Mapping[str, int], minimum_count: int, maximum_size: int | None, what: str) -> list[str]:
    if maximum_size is not None and maximum_size < 3:
        raise ConfigError(
            f"maximum_size: expected at least 3 (line end, {UNK} and one {what}), got {maximum_size}."
        )
    kept = by_falling_count({symbol: count for symbol, count in counts.items() if count >= minimum_count})
    if kept:
        return kept if maximum_size is None else kept[: maximum_size - 2]
    remedy = "Lower --data.minimum_count." if counts else "Give another text."
    raise DataError(
        f"the vocabulary would hold only the line end and {UNK}: the training text has no {what} that occurs "
        f"at least {minimum_count} times. {remedy}"
    )


def by_falling_count(counts: Mapping[str, int]) -> list[str]:
    """The symbols, the most frequent first; those of equal count in the order of their code points."""
    return sorted(counts, key=lambda symbol: (-counts[symbol], symbol))


def _label(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=0, sort_keys=True)


def _checked_line_end(content: dict[str, Any], path: Path) -> LineEnd:
    if content.get("line_end") not in ("newline", "eos"):
        raise RunError(
            f"{path}: damaged; expected line_end to be newline or eos, got {quoted(content.get('line_end'))}."
        )
    line_end: LineEnd = content["line_end"]
    return line_end
