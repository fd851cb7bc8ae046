"""The vocabularies of pairs: one for each side, or one for both.

T time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recurra.data.rows import Rows
from recurra.data.subwords import Subwords
from recurra.data.vocabulary import EOS, UNK, Characters, Vocabulary, Words
from recurra.errors import RunError

PairVocabularyKind = Literal["words", "characters", "subwords"]

SIDES = ("source", "target")
LITERAL_EOS = re.compile(rf"(?<!\S){EOS}(?!\S)")


@dataclass(frozen=True, eq=False)
class Vocabularies:
    """The vocabularies of both sides, one and the same object where they are joint.

    Args:
        source, target: EOS is id 0 and UNK is id 1 in each.
    """

    source: Vocabulary
    target: Vocabulary

    @staticmethod
    def build(
        source: Sequence[str],
        target: Sequence[str],
        kinds: tuple[PairVocabularyKind, PairVocabularyKind],
        *,
        joint: bool = False,
        minimum_count: int = 1,
        maximum_size: int | None = None,
        subword_size: int = 4000,
    ) -> Vocabularies:
        """The vocabularies of training lines, without newlines; the options are those of `PairConfig`.

        Raises:
            ConfigError: `subword_size` does not suit the text, or sentencepiece is not installed.
            DataError: a vocabulary would hold only EOS and UNK.
        """

        def made(lines: Sequence[str], kind: PairVocabularyKind) -> Vocabulary:
            text = "".join([line + "\n" for line in lines])
            if kind == "words":
                return Words.build(text, minimum_count, maximum_size)
            if kind == "subwords":
                return Subwords.build(text, subword_size)
            return Characters.build(text, "eos", minimum_count, maximum_size)

        if joint:
            both = made([*source, *target], kinds[0])
            return Vocabularies(both, both)
        return Vocabularies(made(source, kinds[0]), made(target, kinds[1]))

    @property
    def joint(self) -> bool:
        """Both sides share one vocabulary."""
        return self.source is self.target

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything that encoding depends on."""
        digests = [self.source.digest] if self.joint else [self.source.digest, self.target.digest]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write into the existing `folder`: `joint_vocabulary/`, or `source_vocabulary/` and `target_vocabulary/`."""
        for name in ("joint",) if self.joint else SIDES:
            place = Path(folder) / f"{name}_vocabulary"
            place.mkdir(exist_ok=True)
            (self.target if name == "target" else self.source).save(place)

    @staticmethod
    def load(folder: str | Path) -> Vocabularies:
        """Read what `save` wrote.

        Raises:
            RunError: a file is missing, damaged or foreign.
        """
        joint = Path(folder) / "joint_vocabulary"
        if joint.exists():
            both = _load(joint)
            return Vocabularies(both, both)
        return Vocabularies(*(_load(Path(folder) / f"{side}_vocabulary") for side in SIDES))

    def encode_source(self, line: str, max_length: int | None = None) -> tuple[NDArray[np.int64], bool]:
        """The ids `[T]` (int64) of one source line, EOS last, and whether they were cut to `max_length`."""
        return _encode_line(line, self.source, max_length)

    def encode_target(self, line: str, max_length: int | None = None) -> tuple[NDArray[np.int64], bool]:
        """The ids `[T]` (int64) of one target line, EOS last, and whether they were cut to `max_length`."""
        return _encode_line(line, self.target, max_length)

    def source_symbols(self, line: str) -> list[str]:
        """What stands at each position of `encode_source(line)`, also where the id is UNK; EOS last."""
        line = _one_line(line)
        if isinstance(self.source, Subwords):
            return [*self.source.pieces(line), EOS]
        return [*(line.split() if isinstance(self.source, Words) else line), EOS]

    def decode_target(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """The text of target ids `[T]` up to the first EOS, if there is one."""
        array = np.asarray(list(ids) if not hasattr(ids, "__array__") else ids, np.int64).reshape(-1)
        ends = np.flatnonzero(array == self.target.line_end)
        return self.target.decode(array[: ends[0]] if len(ends) else array)


def encode_lines(lines: Sequence[str], vocabulary: Vocabulary) -> Rows:
    """The ids of lines without newlines, a row each. A literal `<eos>` among words is UNK."""
    text = "".join([line + "\n" for line in lines])
    if isinstance(vocabulary, Words) and EOS in text:
        text = LITERAL_EOS.sub(UNK, text)
    ids = vocabulary.encode(text)
    offsets = np.concatenate([[0], np.flatnonzero(ids == vocabulary.line_end) + 1]).astype(np.int64)
    return Rows(ids, offsets)


def _encode_line(line: str, vocabulary: Vocabulary, max_length: int | None) -> tuple[NDArray[np.int64], bool]:
    rows = encode_lines([_one_line(line)], vocabulary)
    cut = rows if max_length is None else rows.cut(max_length)
    return cut.ids, len(cut.ids) < len(rows.ids)


def _one_line(line: str) -> str:
    # A newline would end the row: what is one line for the caller stays one row.
    return line.strip().replace("\n", " ")


def _load(folder: Path) -> Vocabulary:
    vocabulary = Vocabulary.load(folder)
    if not isinstance(vocabulary, Words | Characters | Subwords) or not _ends_with_eos(vocabulary):
        raise RunError(
            f"{folder}: foreign; expected words, characters or subwords whose id 0 is {EOS}, got "
            f"{vocabulary.kind}."
        )
    return vocabulary


def _ends_with_eos(vocabulary: Vocabulary) -> bool:
    return vocabulary.symbols[vocabulary.line_end or 0] == EOS
