"""A corpus: the training, validation and test text as ids (or note sets), with its vocabulary and digests.

N tokens, L lines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurra.data.dataset import Dataset
from recurra.data.files import read_bytes
from recurra.data.held_out import drawn_tenth
from recurra.data.notes import Notes, NoteSequences, note_sequences, parse_notes
from recurra.data.text import TextConfig, default_text, digest_of, read_files
from recurra.data.vocabularies import Vocabularies, build_vocabulary
from recurra.data.vocabulary import Vocabulary
from recurra.errors import ConfigError, DataError
from recurra.settings import filled

HELD_OUT = "the held-out tenth of the training text"


@dataclass(frozen=True, eq=False, repr=False)
class Tokens:
    """A text as ids.

    Args:
        ids: `[N]` (int64).
        offsets: `[L + 1]` (int64): line i is `ids[offsets[i] : offsets[i + 1]]`, its line end included;
            None for one continuous text.
        characters: the length of the raw text (bytes for a byte vocabulary), for bits per character.
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64] | None
    characters: int

    def __repr__(self) -> str:
        lines = "" if self.offsets is None else f" in {len(self.offsets) - 1:,} lines"
        return f"Tokens({self.tokens:,} tokens{lines})"

    @property
    def tokens(self) -> int:
        """The number of ids N."""
        return len(self.ids)


Split = Tokens | NoteSequences


def load_corpus(config: TextConfig, vocabularies: Vocabularies | None = None) -> Dataset[Split]:
    """Read every configured file, build the vocabulary `text` (unless it is given), and encode.

    Without validation files a tenth is held out before the vocabulary is built. Of lines and of note sequences it is
    drawn at random, with the digest of what was drawn, or, under `hold_out: end`, the last ones. Of the characters or
    bytes of a continuous text it is `text[int(0.9 n):]`; of its words or subwords what follows the next line start.

    Raises:
        ConfigError: the given vocabulary is of another kind than the configuration's.
        DataError: a file cannot be used, the vocabulary would be empty, or a split holds nothing known.
    """
    config = filled(config)
    if vocabularies is not None and vocabularies["text"].kind != config.vocabulary:
        raise ConfigError(
            f"data.vocabulary: expected {vocabularies['text'].kind!r}, the run's own; got {config.vocabulary!r}."
        )
    if config.vocabulary == "notes":
        return _note_corpus(config, vocabularies or Vocabularies({"text": Notes(*config.note_range)}))
    train, digests = _training_text(config)
    if config.valid:
        valid, digests["valid"] = read_files(config.valid, config)
    else:
        train, valid = _hold_out(train, config)
        if config.draws_lines:
            digests["valid"] = digest_of([_bytes_of(valid)])
    if vocabularies is None:
        vocabularies = Vocabularies({"text": _vocabulary_of(train, config)})
    vocabulary, test = vocabularies["text"], None
    if config.test:
        test_text, digests["test"] = read_files(config.test, config)
        test = encode_text(test_text, config, vocabulary, ", ".join(config.test))
    return Dataset(
        encode_text(train, config, vocabulary, ", ".join(config.train) or "the default text"),
        encode_text(valid, config, vocabulary, ", ".join(config.valid) or HELD_OUT),
        test,
        vocabularies,
        digests,
    )


def training_size(config: TextConfig) -> int:
    """The length of the training text in characters, what is held out included; of bytes, in bytes.

    Raises:
        DataError: a file cannot be used.
    """
    return len(_training_text(config)[0])


def load_test(paths: Sequence[str | Path], config: TextConfig, vocabularies: Vocabularies) -> Split:
    """The split that the given files hold, encoded with the run's vocabulary `text`.

    Raises:
        DataError: a file cannot be used, or holds nothing known.
    """
    vocabulary = vocabularies["text"]
    if isinstance(vocabulary, Notes):
        values = [(parse_notes(read_bytes(path), str(path)), str(path)) for path in paths]
        return _joined(values, "test", vocabulary)
    text, _ = read_files(paths, config)
    return encode_text(text, config, vocabulary, ", ".join(map(str, paths)))


def encode_text(text: str | bytes, config: TextConfig, vocabulary: Vocabulary, name: str) -> Tokens:
    """A text as ids, divided into lines where the layout asks for it; `name` stands in the error.

    Raises:
        DataError: nothing in the text is known to the vocabulary.
    """
    ids = vocabulary.encode(text)
    if vocabulary.unk_id is not None and not np.any((ids != vocabulary.unk_id) & (ids != vocabulary.eos_id)):
        raise DataError(
            f"{name}: none of its {vocabulary.kind} is among the {len(vocabulary)} symbols of the vocabulary, "
            "which is built from the training text. Give text of the same language and writing."
        )
    characters = len(text)
    if config.layout == "continuous":
        return Tokens(ids, None, characters)
    ended = text.endswith("\n") if isinstance(text, str) else text.endswith(b"\n")
    offsets = np.concatenate([[0], np.flatnonzero(ids == vocabulary.eos_id) + 1]).astype(np.int64)
    return Tokens(ids, offsets, characters + (not ended))


def _vocabulary_of(text: str | bytes, config: TextConfig) -> Vocabulary:
    return build_vocabulary(
        config.vocabulary,
        text,
        line_end="eos" if config.layout == "lines" else "newline",
        minimum_count=config.minimum_count,
        maximum_size=config.maximum_size,
        subword_size=config.subword_size,
    )


def _training_text(config: TextConfig) -> tuple[str | bytes, dict[str, str]]:
    if config.train:
        text, file_digest = read_files(config.train, config)
        return text, {"train": file_digest}
    data = default_text().encode()
    return data if config.vocabulary == "bytes" else data.decode(), {
        "train": hashlib.sha256(data).hexdigest()
    }


def _bytes_of(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _hold_out(text: str | bytes, config: TextConfig) -> tuple[str | bytes, str | bytes]:
    """The text without, and with nothing but, the tenth that is held out."""
    if config.draws_lines:
        return _draw_lines(text)
    cut = int(len(text) * 0.9)
    if config.layout == "lines" or config.vocabulary in ("words", "subwords"):
        cut = _line_start(text, cut) or (0 if config.layout == "lines" else _word_start(text, cut))
    if not 0 < cut < len(text):
        raise DataError("the training text is too short to hold out its last tenth. Pass --data.valid FILE.")
    return text[:cut], text[cut:]


def _draw_lines(text: str | bytes) -> tuple[str | bytes, str | bytes]:
    """The lines without, and with nothing but, a tenth of them drawn at random; both keep their order."""
    # Latin-1 gives every byte one character, so the same lines serve bytes.
    decoded = text if isinstance(text, str) else text.decode("latin-1")
    lines = decoded.removesuffix("\n").split("\n")
    held_out = drawn_tenth(lines).tolist()
    valid, train = (
        "".join(f"{line}\n" for line, drawn in zip(lines, held_out, strict=True) if drawn is wanted)
        for wanted in (True, False)
    )
    if not train or not valid:
        raise DataError(
            "the training text has too few lines that are not empty to hold out a tenth of them. "
            "Pass --data.valid FILE."
        )
    if isinstance(text, str):
        return train, valid
    return train.encode("latin-1"), valid.encode("latin-1")


def _line_start(text: str | bytes, near: int) -> int:
    """The first line start at `near` or after it, else the last one before it, else 0."""
    # Latin-1 gives every byte one character, so the same search serves bytes.
    text = text if isinstance(text, str) else text.decode("latin-1")
    after = text.find("\n", max(near - 1, 0)) + 1
    return after if 0 < after < len(text) else text.rfind("\n", 0, max(near - 1, 0)) + 1


def _word_start(text: str | bytes, near: int) -> int:
    """The first place after white space at `near` or after it, else the last one before it, else 0."""
    text = text if isinstance(text, str) else text.decode("latin-1")
    after = text.find(" ", max(near - 1, 0)) + 1
    return after if 0 < after < len(text) else text.rfind(" ", 0, max(near - 1, 0)) + 1


def _note_corpus(config: TextConfig, vocabularies: Vocabularies) -> Dataset[Split]:
    notes = vocabularies["text"]
    assert isinstance(notes, Notes)  # as its kind says
    given = {"train": config.train, "valid": config.valid, "test": config.test}
    contents = {split: [read_bytes(path) for path in paths] for split, paths in given.items()}
    values = {
        split: [(parse_notes(data, path), path) for data, path in zip(contents[split], paths, strict=True)]
        for split, paths in given.items()
    }
    digests = {split: digest_of(contents[split]) for split, paths in given.items() if paths}
    for split in ("valid", "test"):
        # The usual file holds all three splits.
        if not values[split] and all(
            isinstance(value, dict) and split in value for value, _ in values["train"]
        ):
            values[split] = values["train"]
    train = _joined(values["train"], "train", notes)
    if values["valid"]:
        valid = _joined(values["valid"], "valid", notes)
    else:
        train, valid = _hold_out_sequences(train.sequences, config)
        if config.draws_lines:
            digests["valid"] = digest_of([one.tobytes() for one in valid.sequences])
    test = _joined(values["test"], "test", notes) if values["test"] else None
    return Dataset(train, valid, test, vocabularies, digests)


def _hold_out_sequences(
    sequences: Sequence[NDArray[np.uint8]], config: TextConfig
) -> tuple[NoteSequences, NoteSequences]:
    """The sequences without, and with nothing but, the tenth that is held out."""
    held_out = np.arange(len(sequences)) >= int(len(sequences) * 0.9)
    if config.draws_lines:
        held_out = drawn_tenth([one.tobytes() for one in sequences])
    train, valid = (
        NoteSequences([one for one, drawn in zip(sequences, held_out, strict=True) if drawn == wanted])
        for wanted in (False, True)
    )
    if not train.tokens or not valid.tokens:
        raise DataError("too few note sequences to hold out a tenth of them. Pass --data.valid FILE.")
    return train, valid


def _joined(values: Sequence[tuple[object, str]], split: str, vocabulary: Notes) -> NoteSequences:
    parts = [note_sequences(value, split, vocabulary, name) for value, name in values]
    return NoteSequences([sequence for part in parts for sequence in part.sequences])
