"""The vocabularies `source` and `target` of pairs, which may be one, and single lines in their ids.

T time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recurra.data.vocabularies import Vocabularies, build_vocabulary
from recurra.data.vocabulary import Ids, Vocabulary

PairVocabularyKind = Literal["words", "characters", "subwords"]


def build_pair_vocabularies(
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

    EOS is id 0 and UNK is id 1 in each.

    Raises:
        ConfigError: `subword_size` does not suit the text, or sentencepiece is not installed.
        DataError: a vocabulary would hold only EOS and UNK.
    """

    def built(lines: Sequence[str], kind: PairVocabularyKind) -> Vocabulary:
        return build_vocabulary(
            kind,
            "\n".join([*lines, ""]),
            line_end="eos",
            minimum_count=minimum_count,
            maximum_size=maximum_size,
            subword_size=subword_size,
        )

    if joint:
        return Vocabularies(dict.fromkeys(("source", "target"), built([*source, *target], kinds[0])))
    return Vocabularies({"source": built(source, kinds[0]), "target": built(target, kinds[1])})


def encode_line(vocabulary: Vocabulary, line: str, max_length: int | None = None) -> tuple[Ids, bool]:
    """The ids `[T]` (int64) of one line, EOS last, and whether they were cut to `max_length`.

    White space at the ends of the line is dropped, and a newline inside it is a space.
    """
    rows = vocabulary.encode_lines([line.strip().replace("\n", " ")])
    cut = rows if max_length is None else rows.cut(max_length)
    return cut.ids, len(cut.ids) < len(rows.ids)


def decode_line(vocabulary: Vocabulary, ids: Iterable[int] | NDArray[Any]) -> str:
    """The text of ids `[T]` up to the first EOS, if there is one.

    Raises:
        ShapeError: an id is outside 0..V-1.
    """
    array = np.asarray(list(ids) if not hasattr(ids, "__array__") else ids, np.int64).reshape(-1)
    ends = np.flatnonzero(array == vocabulary.eos_id)
    return vocabulary.decode(array[: ends[0]] if len(ends) else array)
