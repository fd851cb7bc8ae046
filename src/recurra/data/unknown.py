"""What of a text a vocabulary does not know, in words for people."""

from __future__ import annotations

import numpy as np

from recurra.data.vocabulary import Ids, Vocabulary

LISTED = 8
"""The maximum number of unknown words or characters that a note names."""


COMPARE = "each costs what <unk> does, so compare costs only over the same symbols"
"""What unknown symbols mean for a loss or a perplexity."""


def count_unknown(vocabulary: Vocabulary, ids: Ids) -> int:
    """How many of the ids `[T]` are that of the unknown symbol."""
    return 0 if vocabulary.unk_id is None else int(np.count_nonzero(ids == vocabulary.unk_id))


def unknown_share(unknown: int, symbols: int, of: str = "") -> str:
    """How many of a number of symbols are unknown: "2 of 14 symbols (14.3 %) are unknown to the vocabulary"."""
    percent = 100 * unknown / max(symbols, 1)
    noun, verb = "symbol" if symbols == 1 else "symbols", "is" if unknown == 1 else "are"
    return f"{unknown} of {symbols} {noun} ({percent:.3g} %){of} {verb} unknown to the vocabulary"


def note_on_unknown(vocabulary: Vocabulary, text: str, ids: Ids, what: str) -> str:
    """A line on what of `text` the vocabulary does not know; empty where it knows all.

    Args:
        vocabulary: that encodes it.
        text: what was encoded.
        ids: `[T]`, what became of it.
        what: what it is called: "the prompt".
    """
    unknown = count_unknown(vocabulary, ids)
    if not unknown:
        return ""
    names = unknown_parts(vocabulary, text)
    listed = ", ".join(repr(name[:20]) for name in names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    return f"{unknown_share(unknown, len(ids), f' of {what}')}: {listed}"


def unknown_parts(vocabulary: Vocabulary, text: str) -> list[str]:
    """The words of a text that a vocabulary of words does not know, else the characters, each once, in their order."""
    parts = dict.fromkeys(text.split() if vocabulary.kind == "words" else text)
    return [part for part in parts if count_unknown(vocabulary, vocabulary.encode_line(part))]
