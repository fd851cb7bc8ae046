"""Subwords: a vocabulary made and applied by the package sentencepiece (an extra).

T time, V vocabulary.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import string
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.data.rows import Rows
from recurra.data.vocabulary import EOS, UNK, Ids, Vocabulary, encode_by_blocks, text_of
from recurra.durable import read_plain, write_atomic
from recurra.errors import ConfigError, DataError, RunError, shortened

SUBWORD_FILE_NAME = "subword.model"
LARGEST = 1 << 26
"""Of a subword model, in bytes."""

LONGEST = 1 << 12
"""The maximum length in characters of what is given to sentencepiece at once to learn from.

Its trainer leaves longer sentences out without a word where it is not told to take them, and where it is, its time
grows with the square of the length, and its numbers overflow on words of tens of thousands.
"""

RESERVED = "\u2585\x1f"
"""Characters that sentencepiece's trainer keeps for itself; those that a text has are subwords by themselves."""


class Subwords(Vocabulary):
    """Subwords of a sentencepiece unigram model (Kudo 2018), text taken without normalisation.

    Text of known characters comes back from its ids as it was, but for U+2581, which comes back as a space, for which
    sentencepiece writes it.

    Args:
        model: the serialised sentencepiece model; its id 0 is EOS and its id 1 UNK.

    Raises:
        ConfigError: the package sentencepiece is not installed.
    """

    kind = "subwords"
    unit = "subwords, and one <eos> per line"
    eos_id: int = 0
    unk_id: int = 1

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._processor = _sentencepiece().SentencePieceProcessor(model_proto=model)
        self.symbols = [self._processor.id_to_piece(index) for index in range(len(self._processor))]

    @classmethod
    def build(cls, text: str, size: int = 4000) -> Subwords:
        """A model of at most `size` subwords, EOS and UNK included, trained on the lines of `text`.

        Raises:
            ConfigError: the package is not installed, or `size` is less than the text's characters need.
            DataError: the text holds nothing but white space.
        """
        trainer = _sentencepiece().SentencePieceTrainer
        if not text or text.isspace():
            raise DataError(
                "the vocabulary would hold only <eos> and <unk>: the text is white space. Give another."
            )
        model, (eos, unk) = io.BytesIO(), _control_pieces(text)
        try:
            trainer.train(
                sentence_iterator=_sentences(text),
                model_writer=model,
                vocab_size=size,
                hard_vocab_limit=False,
                character_coverage=1.0,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                max_sentence_length=4 * LONGEST,  # in bytes
                user_defined_symbols=[character for character in RESERVED if character in text],
                num_threads=1,  # the pieces then do not depend on the machine
                eos_id=0,
                eos_piece=eos,
                unk_id=1,
                unk_piece=unk,
                unk_surface="\ufffd",
                bos_id=-1,
                minloglevel=2,
            )
        except RuntimeError as error:
            reason = shortened(" ".join(str(error).split()))
            raise ConfigError(f"data.subword_size: {size} does not suit this text ({reason}).") from error
        serialised = model.getvalue()
        return cls(serialised.replace(eos.encode(), EOS.encode()).replace(unk.encode(), UNK.encode()))

    def encode_line(self, line: str | bytes) -> Ids:
        """The ids `[T]` (int64) of a piece of text, the most probable segmentation of each line."""
        # The last line is not ended: its EOS goes.
        return self.encode_lines(text_of(line).split("\n")).ids[:-1]

    def encode_lines(self, lines: Sequence[str]) -> Rows:
        """A row for each line: the ids of its most probable segmentation, EOS last."""
        return encode_by_blocks(lines, self._rows)

    def _rows(self, lines: Sequence[str]) -> Rows:
        ids: list[int] = []
        offsets = [0]
        for pieces in self._processor.encode(list(lines), out_type=int):
            ids += pieces
            ids.append(self.eos_id)
            offsets.append(len(ids))
        return Rows(np.array(ids, np.int64), np.array(offsets, np.int64))

    def candidates(self, text: str, most: int) -> list[list[int]]:
        """The `most` most probable divisions of a piece of one line, as ids, best first."""
        divisions: list[list[int]] = self._processor.nbest_encode(text, nbest_size=most, out_type=int)
        return divisions

    def scores(self) -> NDArray[np.float64]:
        """The log-probability `[V]` of each subword; a division's is the sum over its subwords."""
        return np.array([self._processor.get_score(index) for index in range(len(self))])

    def decode(self, ids: Iterable[int] | NDArray[Any]) -> str:
        """The text of ids `[T]`; UNK becomes U+FFFD."""
        array = self._checked(ids)
        lines = np.split(array, np.flatnonzero(array == self.eos_id))
        return "\n".join([self._processor.decode(line[line != self.eos_id].tolist()) for line in lines])

    def save(self, folder: str | Path) -> None:
        """Write `subword.model` and `vocabulary.json` into an existing folder, each whole or not at all."""
        write_atomic(Path(folder) / SUBWORD_FILE_NAME, self._model)
        super().save(folder)

    def content(self) -> dict[str, Any]:
        """The digest of the model, which has a file of its own."""
        return {"kind": self.kind, "model_sha256": hashlib.sha256(self._model).hexdigest()}

    @classmethod
    def restore(cls, content: dict[str, Any], path: Path) -> Subwords:
        """The vocabulary of the model beside `path`."""
        file = path.with_name(SUBWORD_FILE_NAME)
        try:
            model = read_plain(file, LARGEST)
        except OSError as error:
            raise RunError(
                f"{file}: cannot be read ({error.strerror}); expected the run's subword model."
            ) from error
        if hashlib.sha256(model).hexdigest() != content.get("model_sha256"):
            raise RunError(f"{file}: damaged or foreign; its digest is not the one in {path.name}.")
        try:
            vocabulary = cls(model) if model else None
        except (RuntimeError, ValueError) as error:  # ValueError: a subword that is no UTF-8
            raise RunError(f"{file}: damaged; expected a sentencepiece model.") from error
        if vocabulary is None or vocabulary.symbols[:2] != [EOS, UNK]:
            raise RunError(f"{file}: damaged or foreign; expected {EOS} as id 0 and {UNK} as id 1.")
        return vocabulary


def _sentences(text: str) -> Iterator[str]:
    """The lines of a text in pieces that the trainer takes, so that all of it counts.

    Nothing that it learns spans a space, so they are cut there; only a word of more than `LONGEST` characters is cut
    itself.
    """
    apart = str.maketrans(dict.fromkeys(RESERVED, "\n"))
    for line in text.split("\n"):
        for part in line.translate(apart).split("\n"):
            words = part.split(" ")
            if max(map(len, words)) > LONGEST:
                part = " ".join(map(_in_pieces, words))
            for piece in part.split("\n"):
                yield from _cut_at_spaces(piece)


def _in_pieces(word: str) -> str:
    """A word with a newline after each `LONGEST` characters."""
    return "\n".join([word[begin : begin + LONGEST] for begin in range(0, len(word), LONGEST)])


def _cut_at_spaces(line: str) -> Iterator[str]:
    """A line in pieces of at most `LONGEST` characters; an empty one in none."""
    begin = 0
    while len(line) - begin > LONGEST:
        end = line.rindex(" ", begin, begin + LONGEST + 1)
        if begin < end:
            yield line[begin:end]
        begin = end + 1  # every piece begins as if a space were before it
    if begin < len(line):
        yield line[begin:]


def _control_pieces(text: str) -> tuple[str, str]:
    """Names of EOS and UNK that the text does not hold, as the trainer takes them out of it; as long as their own."""
    if EOS not in text and UNK not in text:
        return EOS, UNK
    names = (f"<{''.join(letters)}>" for letters in itertools.product(string.ascii_letters, repeat=3))
    free = itertools.islice((name for name in names if name not in text), 2)
    return next(free, EOS), next(free, UNK)


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise ConfigError(
            'data.vocabulary: subwords need the package sentencepiece. pip install "recurra[subword]".'
        ) from error
    return sentencepiece
