"""Text files: the configuration of a corpus, and reading with one clear line for each way to fail."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recurra.errors import ConfigError, DataError, nearest
from recurra.settings import check, setting

Layout = Literal["continuous", "lines"]
VocabularyKind = Literal["characters", "words", "bytes", "subwords", "notes"]

GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class TextConfig:
    """Which files to learn from, and what one symbol of them is.

    Attributes:
        train: files to train on, plain or gzip, joined in this order (default: Python's own documentation).
        valid: files to validate on (default: the last tenth of the training text, which is then not trained on).
        test: text files to score.
        encoding: the files' text encoding (any of Python's); a byte order mark is dropped. Bytes have none.
        layout: `continuous`: one stream with carried state; `lines`: each line a sentence from the zero
            state. Note sequences are always separate.
        vocabulary: what one symbol is: a character, a white-space separated word, a byte, a sentencepiece
            subword, or a set of notes per step (JSON files).
        minimum_count: words or characters seen less often than this are unknown.
        maximum_size: maximum number of symbols of a vocabulary of words or characters, line end and unknown
            included (default: no limit).
        subword_size: the number of subwords; a small text may give fewer.
        note_range: the lowest and highest MIDI note, 0..127; by default the 88 keys of a piano.

    Raises:
        ConfigError: a value is out of range or of another type.
    """

    train: list[str] = setting([], files=True)
    valid: list[str] = setting([], files=True)
    test: list[str] = setting([], files=True)
    encoding: str = "utf-8"
    layout: Layout = "continuous"
    vocabulary: VocabularyKind = "characters"
    minimum_count: int = setting(1, at_least=1)
    maximum_size: int | None = setting(None, at_least=3)
    subword_size: int = setting(4000, at_least=3)
    note_range: list[int] = field(default_factory=lambda: [21, 108])

    def __post_init__(self) -> None:
        object.__setattr__(self, "note_range", _note_range(self.note_range))
        check(self, "data")
        check_encoding(self.encoding)
        if self.vocabulary == "notes" and not self.train:
            raise ConfigError(
                "data.train: expected a JSON file of note sets for --data.vocabulary notes, got none."
            )


def _note_range(value: Any) -> list[int]:
    pair = list(value) if isinstance(value, list | tuple) else []
    if len(pair) != 2 or not all(type(note) is int for note in pair) or not 0 <= pair[0] <= pair[1] <= 127:
        raise ConfigError(
            f"data.note_range: expected two MIDI notes, 0 <= lowest <= highest <= 127; got {value!r}."
        )
    return pair


def check_encoding(encoding: str) -> None:
    """Refuse what is not the name of a text encoding.

    Raises:
        ConfigError: Python knows no text encoding of that name.
    """
    try:
        "".encode(encoding)
    except (LookupError, ValueError, TypeError) as error:
        known = ("utf-8", "utf-16", "latin-1", "cp1252", "ascii", "shift_jis", "gb18030", "big5", "koi8-r")
        hint = nearest(str(encoding), known)
        raise ConfigError(
            f"data.encoding: {encoding!r} is not a text encoding, such as latin-1.{hint}"
        ) from error


def read_bytes(path: str | Path) -> bytes:
    """The content of a file, unpacked if it is gzip (told by its first two bytes, whatever its name).

    Raises:
        DataError: the file is missing, a directory, not readable, empty, or damaged gzip.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.{_sibling(path)}") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: a directory; expected a file. Name the files in it.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: cannot be read ({reason}).") from error
    if data.startswith(GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: damaged gzip ({error}). Fetch or pack the file again.") from error
    if not data:
        raise DataError(f"{path}: the file is empty; expected text.")
    return data


def _sibling(path: Path) -> str:
    try:
        return nearest(path.name, [entry.name for entry in path.parent.iterdir()])
    except OSError:
        return f" Its folder {path.parent} does not exist."


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    r"""The text of a file, `\r\n` and `\r` turned into `\n` and a byte order mark dropped.

    Raises:
        ConfigError: `encoding` is not a text encoding.
        DataError: what `read_bytes` raises; the file is in another encoding, or binary (it holds NUL):
            then with line, column (in characters, from 1) and byte.
    """
    check_encoding(encoding)
    return decode_text(read_bytes(path), encoding, str(path))


def decode_text(data: bytes, encoding: str, name: str) -> str:
    """The text that `read_text` returns, from bytes already read; `name` stands in the errors."""
    # UTF-16 and UTF-32 hold NUL bytes by nature, so there only a NUL character tells a binary file.
    wide = encoding.lower().replace("_", "-").startswith(("utf-16", "utf16", "utf-32", "utf32", "u16", "u32"))
    nul = -1 if wide else data.find(b"\0")
    if nul >= 0:
        raise _binary(data[:nul].decode(encoding, errors="replace"), name)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = _position(data[: error.start].decode(encoding, errors="replace"))
        raise DataError(
            f"{name}, line {line}: not {encoding.upper()} (byte 0x{data[error.start]:02x} "
            f"at column {column}). Re-encode the file, or pass --data.encoding latin-1."
        ) from error
    except UnicodeError as error:
        raise DataError(f"{name}: not {encoding.upper()} ({error}). Pass another --data.encoding.") from error
    text = _universal_newlines(text.removeprefix("\ufeff"))
    if wide and "\0" in text:
        raise _binary(text[: text.index("\0")], name)
    if not text:
        raise DataError(f"{name}: the file is empty; expected text.")
    return text


def _binary(before: str, name: str) -> DataError:
    line, column = _position(before)
    return DataError(
        f"{name}, line {line}: a binary file (byte 0x00 at column {column}). "
        "Give a text file (a language model takes any, with --data.vocabulary bytes)."
    )


def _position(before: str) -> tuple[int, int]:
    """Line and column, both from 1, of what follows the text `before`."""
    before = _universal_newlines(before.removeprefix("\ufeff"))
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _universal_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def read_files(paths: Sequence[str | Path], config: TextConfig) -> tuple[str | bytes, str]:
    """All files as one text (bytes for the vocabulary of bytes), with the digest of their unpacked content.

    A newline is put between two files where the first lacks its last one, so that no line spans two files;
    bytes in continuous layout are joined as they are.

    Raises:
        DataError: what `read_text` raises.
    """
    contents = [read_bytes(path) for path in paths]
    if config.vocabulary == "bytes":
        if config.layout == "lines":
            ended = [data if data.endswith(b"\n") else data + b"\n" for data in contents[:-1]]
            return b"".join([*ended, contents[-1]]), digest_of(contents)
        return b"".join(contents), digest_of(contents)
    texts = [
        decode_text(data, config.encoding, str(path)) for data, path in zip(contents, paths, strict=True)
    ]
    ended_texts = [text if text.endswith("\n") else text + "\n" for text in texts[:-1]]
    return "".join([*ended_texts, texts[-1]]), digest_of(contents)


def digest(paths: Sequence[str | Path]) -> str:
    """The SHA-256 (hexadecimal) of one file's unpacked content; of several, that of their SHA-256s in order.

    Raises:
        DataError: what `read_bytes` raises.
    """
    return digest_of([read_bytes(path) for path in paths])


def digest_of(contents: Sequence[bytes]) -> str:
    """What `digest` gives for files of these contents."""
    each = [hashlib.sha256(content).hexdigest() for content in contents]
    return each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()


def default_text() -> str:
    """The text that is always there: Python's own documentation, `pydoc_data.topics` in alphabetical order.

    Raises:
        DataError: this Python comes without it.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DataError(
            "data.train: this Python has no pydoc_data.topics. Pass --data.train FILE."
        ) from error
    return _universal_newlines("\n".join(topics[name] for name in sorted(topics)))
