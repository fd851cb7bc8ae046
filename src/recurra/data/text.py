"""Text files: the configuration of a corpus, and reading with one clear line for each way to fail."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from recurra.data.file_formats import LOOKED_AT, check_plain, is_wide
from recurra.data.files import read_bytes, shown_path
from recurra.data.line_ends import is_old_macintosh, position, with_plain_ends
from recurra.errors import ConfigError, DataError, nearest, quoted
from recurra.settings import AUTO, check, setting

Layout = Literal["continuous", "lines"]
HoldOut = Literal["sample", "end"]
VocabularyKind = Literal["characters", "words", "bytes", "subwords", "notes"]

NOT_TEXT = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem")
"""Text encodings to Python, but ways to write host names and program sources, or different on each machine."""


@dataclass(frozen=True)
class TextConfig:
    """Which files to learn from, and what one symbol of them is.

    Attributes:
        train: files to train on, plain or gzip, joined in this order (default: Python's own documentation).
        valid: files to validate on (default: a tenth of the training text, which is then not trained on).
        test: text files to score.
        encoding: the files' text encoding (any of Python's); a byte order mark is dropped. Bytes have none.
        layout: `continuous`: one stream with carried state; `lines`: each line a sentence from the zero
            state. Note sequences are always separate.
        hold_out: which tenth of lines or note sequences validation takes where no files are given for it: `sample`,
            drawn at random with a fixed seed, or `end`, the last ones (default: sample). A continuous text always
            keeps its end for it.
        vocabulary: what one symbol is: a character, a white-space separated word, a byte, a sentencepiece
            subword, or a set of notes per step (JSON files).
        minimum_count: words or characters seen less often than this are unknown.
        maximum_size: maximum number of symbols of a vocabulary of words or characters, line end and unknown
            included (default: no limit).
        subword_size: the number of subwords; a small text may give fewer; auto: by the size of the data.
        note_range: the lowest and highest MIDI note, 0..127; by default the 88 keys of a piano.

    Raises:
        ConfigError: a value is out of range or of another type.
    """

    train: list[str] = setting([], files=True, common=True)
    valid: list[str] = setting([], files=True, common=True)
    test: list[str] = setting([], files=True)
    encoding: str = "utf-8"
    layout: Layout = setting("continuous", common=True)
    hold_out: HoldOut | None = None
    vocabulary: VocabularyKind = setting("characters", common=True)
    minimum_count: int = setting(1, at_least=1)
    maximum_size: int | None = setting(None, at_least=3)
    subword_size: int = setting(AUTO, at_least=3, auto=4000)
    note_range: list[int] = field(default_factory=lambda: [21, 108])

    def __post_init__(self) -> None:
        object.__setattr__(self, "note_range", _note_range(self.note_range))
        check(self, "data")
        check_encoding(self.encoding)
        if self.vocabulary == "notes" and not self.train:
            raise ConfigError(
                "data.train: expected a JSON file of note sets for --data.vocabulary notes, got none."
            )
        if self.hold_out == "sample" and not self.separate:
            raise ConfigError(
                "data.hold_out: a continuous text keeps its end for validation, so no lines are drawn from it; leave "
                "it out, or pass --data.layout lines."
            )

    @property
    def separate(self) -> bool:
        """The text is separate lines or note sequences, not one continuous stream."""
        return self.layout == "lines" or self.vocabulary == "notes"

    @property
    def draws_lines(self) -> bool:
        """What is held out for validation is drawn from the lines or sequences."""
        return self.separate and self.hold_out != "end"


def _note_range(value: Any) -> list[int]:
    pair = list(value) if isinstance(value, list | tuple) else []
    if len(pair) != 2 or not all(type(note) is int for note in pair) or not 0 <= pair[0] <= pair[1] <= 127:
        raise ConfigError(
            f"data.note_range: expected two MIDI notes, 0 <= lowest <= highest <= 127; got {quoted(value)}."
        )
    return pair


def check_encoding(encoding: str) -> None:
    """Refuse what is not the name of a text encoding.

    Raises:
        ConfigError: Python knows no text encoding of that name.
    """
    try:
        is_text = codecs.lookup(encoding).name not in NOT_TEXT and isinstance("a".encode(encoding), bytes)
    except (LookupError, ValueError, TypeError, OSError):
        is_text = False  # whatever Python has against the name
    if not is_text:
        known = ("utf-8", "utf-16", "latin-1", "cp1252", "ascii", "shift_jis", "gb18030", "big5", "koi8-r")
        hint = nearest(str(encoding)[:40], known)
        raise ConfigError(f"data.encoding: {quoted(encoding)} is not a text encoding, such as latin-1.{hint}")


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    r"""The text of a file, its line ends made `\n` (see `line_ends`) and a byte order mark dropped.

    Raises:
        ConfigError: `encoding` is not a text encoding.
        DataError: what `read_bytes` and `check_plain` raise; the file is in another encoding, or binary (it holds
            NUL): then with line, column (in characters, from 1) and byte.
    """
    check_encoding(encoding)
    return decode_text(read_bytes(path), encoding, shown_path(path))


def decode_text(data: bytes, encoding: str, name: str) -> str:
    """The text that `read_text` returns, from bytes already read; `name` stands in the errors."""
    check_plain(data, name, encoding)
    # UTF-16 and UTF-32 hold NUL bytes by nature, so there only a NUL character tells a binary file.
    wide = is_wide(encoding)
    end = "\r" if is_old_macintosh(data, name) else "\n"
    nul = -1 if wide else data.find(b"\0")
    if nul >= 0:
        raise _binary(data[:nul].decode(encoding, errors="replace"), end, name, _looks_wide(data))
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line, column = position(data[: error.start].decode(encoding, errors="replace"), end)
        raise DataError(
            f"{name}, line {line}: not {encoding.upper()} (byte 0x{data[error.start]:02x} "
            f"at column {column}). Re-encode the file, or pass --data.encoding latin-1."
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{name}: not {encoding.upper()} ({quoted(str(error))}). Pass another --data.encoding."
        ) from error
    text = text.removeprefix("\ufeff")
    if wide and "\0" in text:
        raise _binary(text[: text.index("\0")], end, name)
    if not text:
        raise DataError(f"{name}: the file is empty; expected text.")
    return with_plain_ends(text, name)


def _binary(before: str, end: str, name: str, encoding: str = "") -> DataError:
    line, column = position(before, end)
    where = f"{name}, line {line}: "
    if encoding:
        return DataError(
            f"{where}looks like {encoding.upper()} (byte 0x00 at column {column}). Convert it to UTF-8, or pass "
            f"--data.encoding {encoding}."
        )
    return DataError(
        f"{where}a binary file (byte 0x00 at column {column}). "
        "Give a text file (a language model takes any, with --data.vocabulary bytes)."
    )


def _looks_wide(data: bytes) -> str:
    """The encoding of text in UTF-16 without a byte order mark, where every other byte is mostly 0; empty for none."""
    even, odd = (data[first:LOOKED_AT:2].count(0) for first in (0, 1))
    half = min(len(data), LOOKED_AT) // 2
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if half >= 2 and zeros > 0.7 * half and not others:
            return encoding
    return ""


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
        decode_text(data, config.encoding, shown_path(path))
        for data, path in zip(contents, paths, strict=True)
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
    return "\n".join(topics[name] for name in sorted(topics)).replace("\r\n", "\n")
