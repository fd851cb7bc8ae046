"""Vocabularies: text to ids and back. Words, characters and bytes; subwords and notes have their own files.

Id 0 of words and characters ends a line, id 1 is the unknown symbol (UNK).

T time, V vocabulary.
"""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from recurra.durable import write_aside
from recurra.errors import ConfigError, DataError, RunError, ShapeError

EOS, UNK = "<eos>", "<unk>"
FILE_NAME = "vocabulary.json"
FORMAT = "recurra.vocabulary/1"
BLOCK = 1 << 22  # characters taken at a time, so that a large text is never held as separate words

LineEnd = Literal["newline", "eos"]
Ids = NDArray[np.int64]


class Vocabulary(ABC):
    """Symbols numbered from 0.

    Attributes:
        kind: the name in `data.vocabulary`.
        counted: what one token is, in words, for a score's recipe.
        line_end: the id that ends a line (EOS, or the newline); None for note sets.
        unknown: the id of UNK; None where nothing is unknown.
        symbols: a printable label for each id.
    """

    kind: ClassVar[str]
    counted: str
    line_end: int | None
    unknown: int | None
    symbols: list[str]
    _ends_last_line: bool = True

    def __len__(self) -> int:
        return len(self.symbols)

    @abstractmethod
    def encode_line(self, line: str | bytes) -> NDArray[Any]:
        """The ids `[T]` (int64) of a piece of text: a newline becomes `line_end`, none is added at the end."""

    def encode(self, text: str | bytes) -> NDArray[Any]:
        """The ids `[T]` (int64) of a whole text, one `line_end` per line, also where the last newline lacks.

        Where the line end is the newline itself, the text is taken exactly as it is.
        """
        ids = self.encode_line(text)
        ended = text.endswith("\n") if isinstance(text, str) else text.endswith(b"\n")
        if not text or ended or self.line_end is None or not self._ends_last_line:
            return ids
        return np.append(ids, np.int64(self.line_end))

    @abstractmethod
    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        r"""The text of ids `[T]`; `line_end` gives `\n`.

        Raises:
            ShapeError: an id is outside 0..V-1.
        """

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything that encoding depends on."""
        return hashlib.sha256(_json(self._content()).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write `vocabulary.json` into an existing folder: aside, flushed, renamed."""
        write_aside(Path(folder) / FILE_NAME, _json({"format": FORMAT, **self._content()}).encode())

    @staticmethod
    def load(folder: str | Path) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            RunError: the file is missing, damaged or foreign.
        """
        path = Path(folder) / FILE_NAME
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise RunError(f"{path}: no such file; expected a vocabulary. Is {folder} a run?") from error
        except (OSError, ValueError, RecursionError) as error:
            raise RunError(f"{path}: damaged; expected the JSON of a vocabulary ({error}).") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise RunError(f"{path}: foreign; expected a JSON object whose format is {FORMAT!r}.")
        kind, kinds = content.get("kind"), _kinds()
        if not isinstance(kind, str) or kind not in kinds:
            raise RunError(f"{path}: damaged; expected kind to be one of {', '.join(kinds)}, got {kind!r}.")
        return kinds[kind]._restore(content, path)

    @abstractmethod
    def _content(self) -> dict[str, Any]:
        """Plain values from which `_restore` builds the same vocabulary."""

    @classmethod
    @abstractmethod
    def _restore(cls, content: dict[str, Any], path: Path) -> Vocabulary: ...

    def _checked(self, ids: Iterable[int] | NDArray[Any]) -> Ids:
        array = np.asarray(ids if hasattr(ids, "__array__") else list(ids), np.int64).reshape(-1)
        if array.size and not 0 <= array.min() <= array.max() < len(self):
            raise ShapeError(f"ids: expected 0..{len(self) - 1}, got {array.min()}..{array.max()}.")
        return array


class Words(Vocabulary):
    """White-space separated words, case kept; ids by falling count, then by code points.

    A literal `<unk>` in a text is UNK, a literal `<eos>` is EOS.

    Args:
        words: the words of ids 2, 3, ...; EOS is id 0 and UNK is id 1.
    """

    kind = "words"
    counted = "words, and one <eos> per line"
    line_end: int = 0
    unknown: int = 1

    def __init__(self, words: Sequence[str]) -> None:
        self.symbols = [EOS, UNK, *words]
        self._index = {word: index for index, word in enumerate(self.symbols)}

    @classmethod
    def build(cls, text: str, minimum_count: int = 1, maximum_size: int | None = None) -> Words:
        """The words that `text` holds `minimum_count` times or more; `maximum_size` counts EOS and UNK too.

        Raises:
            DataError: nothing but EOS and UNK would be left.
        """
        counts: Counter[str] = Counter()
        for words in _words(text):
            counts.update(words)
        del counts[EOS], counts[UNK]
        return cls(_ranked(counts, minimum_count, maximum_size, "word"))

    def encode_line(self, line: str | bytes) -> Ids:
        """The ids `[T]` (int64) of the words of a piece of text, EOS for each newline."""
        find = self._index.get
        parts = [
            np.fromiter(map(find, words, repeat(self.unknown)), np.int64, len(words))
            for words in _words(text_of(line))
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """The words of ids `[T]` joined by a space, EOS as the newline."""
        words = [
            "\n" if index == self.line_end else self.symbols[index] for index in self._checked(ids).tolist()
        ]
        return " ".join(words).replace(" \n", "\n").replace("\n ", "\n")

    def _content(self) -> dict[str, Any]:
        return {"kind": self.kind, "words": self.symbols[2:]}

    @classmethod
    def _restore(cls, content: dict[str, Any], path: Path) -> Words:
        return cls(_symbols(content, "words", path, {EOS, UNK}))


class Characters(Vocabulary):
    """Single characters (code points); ids by falling count, then by code points.

    Args:
        characters: the characters of ids 2, 3, ...; id 0 ends a line and id 1 is UNK (decoded as U+FFFD).
        line_end: `newline`: the newline is a character like any other, and the text is taken as it is;
            `eos`: every line ends with an EOS symbol, and the newline is not a character.
    """

    kind = "characters"
    line_end: int = 0
    unknown: int = 1

    def __init__(self, characters: Sequence[str], line_end: LineEnd = "newline") -> None:
        self._characters = list(characters)
        self._end: LineEnd = line_end
        self._ends_last_line = line_end == "eos"
        self.symbols = [_label("\n") if line_end == "newline" else EOS, UNK, *map(_label, characters)]
        self.counted = "characters" + (
            ", newlines included" if line_end == "newline" else ", and one <eos> per line"
        )
        points = np.array([ord("\n"), *map(ord, characters)])
        # The last entry stands for every character beyond the table.
        self._table = np.full(points.max() + 2, self.unknown, np.int64)
        self._table[points] = [self.line_end, *range(2, 2 + len(characters))]

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
        """The ids `[T]` (int64) of the characters of a piece of text, `line_end` for each newline."""
        line = text_of(line)
        ids, position = np.empty(len(line), np.int64), 0
        for points in _code_points(line):
            np.minimum(points, len(self._table) - 1, out=points)
            ids[position : position + len(points)] = self._table[points]
            position += len(points)
        return ids

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """The characters of ids `[T]`; UNK becomes U+FFFD."""
        characters = ["\n", "\ufffd", *self._characters]
        return "".join([characters[index] for index in self._checked(ids).tolist()])

    def _content(self) -> dict[str, Any]:
        return {"kind": self.kind, "line_end": self._end, "characters": self._characters}

    @classmethod
    def _restore(cls, content: dict[str, Any], path: Path) -> Characters:
        characters = _symbols(content, "characters", path, {"\n"})
        if any(len(character) != 1 for character in characters):
            raise RunError(f"{path}: damaged; expected single characters in `characters`.")
        return cls(characters, _line_end(content, path))


class Bytes(Vocabulary):
    """The 256 bytes; nothing is unknown. A `str` is taken as its UTF-8 bytes.

    Args:
        line_end: `newline`: byte 10, and the text is taken as it is; `eos`: id 256 ends every line.
    """

    kind = "bytes"
    unknown = None

    def __init__(self, line_end: LineEnd = "newline") -> None:
        self._end: LineEnd = line_end
        self._ends_last_line = line_end == "eos"
        self.line_end: int = ord("\n") if line_end == "newline" else 256
        self.symbols = [chr(byte) if 33 <= byte < 127 else f"\\x{byte:02x}" for byte in range(256)]
        self.symbols += [EOS] if line_end == "eos" else []
        self.counted = "bytes" + (
            ", newlines included" if line_end == "newline" else ", and one <eos> per line"
        )

    def encode_line(self, line: str | bytes) -> Ids:
        """The ids `[T]` (int64) of the bytes of a piece of text, `line_end` for each newline."""
        data = line.encode("utf-8", errors="surrogatepass") if isinstance(line, str) else line
        ids = np.frombuffer(data, np.uint8).astype(np.int64)
        ids[ids == ord("\n")] = self.line_end
        return ids

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        r"""The text of ids `[T]`, read as UTF-8; bytes that are not become U+FFFD."""
        array = self._checked(ids)
        array = np.where(array == self.line_end, ord("\n"), array)
        return array.astype(np.uint8).tobytes().decode("utf-8", errors="replace")

    def _content(self) -> dict[str, Any]:
        return {"kind": self.kind, "line_end": self._end}

    @classmethod
    def _restore(cls, content: dict[str, Any], path: Path) -> Bytes:
        return cls(_line_end(content, path))


def _kinds() -> dict[str, type[Vocabulary]]:
    # Imported here because both build on this file.
    from recurra.data.notes import Notes
    from recurra.data.subwords import Subwords

    return {vocabulary.kind: vocabulary for vocabulary in (Words, Characters, Bytes, Subwords, Notes)}


def text_of(text: str | bytes) -> str:
    """The text itself; bytes are read as UTF-8."""
    return text if isinstance(text, str) else text.decode("utf-8", errors="replace")


def _words(text: str) -> Iterator[list[str]]:
    """The words of a text, EOS for each newline, some blocks at a time."""
    space, start = re.compile(r"\s"), 0
    while start < len(text):
        match = space.search(text, start + BLOCK)
        end = match.start() if match else len(text)
        yield text[start:end].replace("\n", f" {EOS} ").split()
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
    kept = [symbol for symbol, count in counts.items() if count >= minimum_count]
    kept.sort(key=lambda symbol: (-counts[symbol], symbol))
    if kept:
        return kept if maximum_size is None else kept[: maximum_size - 2]
    remedy = "Lower --data.minimum_count." if counts else "Give another text."
    raise DataError(
        f"the vocabulary would hold only the line end and {UNK}: the training text has no {what} that occurs "
        f"at least {minimum_count} times. {remedy}"
    )


def _label(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=0, sort_keys=True)


def _symbols(content: dict[str, Any], key: str, path: Path, reserved: set[str]) -> list[str]:
    symbols = content.get(key)
    if not isinstance(symbols, list) or not symbols or not all(isinstance(symbol, str) for symbol in symbols):
        raise RunError(f"{path}: damaged; expected `{key}` to be a list of strings.")
    if len(set(symbols)) != len(symbols) or reserved.intersection(symbols):
        raise RunError(f"{path}: damaged; expected every symbol of `{key}` once, without {sorted(reserved)}.")
    return symbols


def _line_end(content: dict[str, Any], path: Path) -> LineEnd:
    if content.get("line_end") not in ("newline", "eos"):
        raise RunError(
            f"{path}: damaged; expected line_end to be newline or eos, got {content.get('line_end')!r}."
        )
    line_end: LineEnd = content["line_end"]
    return line_end
