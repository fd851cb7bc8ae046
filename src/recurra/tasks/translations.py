"""Translations: what a translator gives for a line.

T target length, Tx source length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from recurra.data.pair_vocabularies import decode_line, encode_line
from recurra.data.vocabularies import Vocabularies
from recurra.data.vocabulary import Vocabulary
from recurra.decode.hypotheses import Hypothesis
from recurra.tasks.prediction import Prediction
from recurra.tasks.translation_options import TranslatePredictOptions
from recurra.tasks.translation_search import Ids, Model, search_lines

RULED_OUT = float("-inf")
"""The score, as log 0, of the outputs that a source with fewer than `n_best` does not have."""


@dataclass(frozen=True)
class Output:
    """One of the targets found for a source.

    Attributes:
        text: of the target.
        tokens: a printable label per symbol, EOS last where it is finished.
        log_prob: ln P of the target under the model, EOS included.
        score: what the search ranked it by.
        attention: `[T, Tx]`, what each symbol of it was predicted from; None without attention.
        finished: it ends with EOS; otherwise nothing of positive probability could end it.
    """

    text: str
    tokens: list[str] = field(repr=False)
    log_prob: float
    score: float
    attention: Tensor | None = field(repr=False)
    finished: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the attention."""
        return {"text": self.text, "score": self.score, "log_prob": self.log_prob, "tokens": self.tokens}


@dataclass(frozen=True, repr=False)
class Translation(Prediction):
    """A source and what was found for it.

    Attributes:
        source: its text.
        tokens: a printable label per symbol of the source, EOS last; empty for an empty source.
        outputs: best first; one empty output for an empty source.
        unknown: how many symbols of the source the vocabulary does not know.
        truncated: the source was longer than `data.max_length` and was cut.
        n_best: how many outputs were asked for.
    """

    source: str
    tokens: list[str]
    outputs: list[Output]
    unknown: int = 0
    truncated: bool = False
    n_best: int = 1

    @property
    def symbols(self) -> int:
        """The number of symbols of the source that the model read, EOS included."""
        return len(self.tokens)

    def line(self) -> str:
        """The best output; or, where several were asked for, a line each: rank, score and text."""
        if self.n_best == 1:
            return self.outputs[0].text
        pairs = [(one.score, one.text) for one in self.outputs]
        pairs += [(RULED_OUT, "")] * (self.n_best - len(pairs))
        return "\n".join(f"{rank}\t{score:.4f}\t{text}" for rank, (score, text) in enumerate(pairs, start=1))

    def as_dict(self) -> dict[str, Any]:
        """The best output and all outputs, as plain values."""
        best = self.outputs[0]
        return {
            "source": self.source,
            "target": best.text,
            "score": best.score,
            "log_prob": best.log_prob,
            "unknown": self.unknown,
            "truncated": self.truncated,
            "n_best": [one.as_dict() for one in self.outputs],
        }


def translate_lines(
    model: Model,
    vocabularies: Vocabularies,
    lines: Sequence[str],
    max_length: int,
    options: TranslatePredictOptions,
) -> Iterator[Translation]:
    """A translation of each line, in their order.

    Args:
        model: an encoder–decoder or an ensemble.
        vocabularies: of both sides.
        lines: without their line ends; an empty one gives an empty output.
        max_length: the most symbols of a source; a longer one is cut.
        options: how to search, and what to do with unknown words.
    """
    source = vocabularies["source"]
    encoded = [encode_line(source, line, max_length) for line in lines]
    hypotheses = search_lines(
        model, vocabularies, [ids for ids, _ in encoded], lines, options, options.greedy
    )
    for number, line in enumerate(lines):
        ids, truncated = encoded[number]
        if number not in hypotheses:
            yield Translation(line, [], [Output("", [], 0.0, 0.0, None, True)], n_best=options.n_best)
            continue
        # Those words that the model saw, without EOS.
        words = line.split()[: len(ids) - 1] if options.copy_unknown else None
        yield Translation(
            line,
            [source.symbols[index] for index in ids],
            [_output(vocabularies["target"], one, words) for one in hypotheses[number]],
            0 if source.unk_id is None else int((ids == source.unk_id).sum()),
            truncated,
            options.n_best,
        )


def _output(target: Vocabulary, hypothesis: Hypothesis, source_words: list[str] | None) -> Output:
    ids = hypothesis.ids.numpy()
    tokens = [target.symbols[index] for index in ids]
    text = decode_line(target, ids)
    if source_words and hypothesis.attention is not None:
        text = _with_copies(target, ids, tokens, hypothesis, source_words)
    return Output(
        text, tokens, hypothesis.log_prob, hypothesis.score, hypothesis.attention, hypothesis.finished
    )


def _with_copies(
    target: Vocabulary, ids: Ids, tokens: list[str], hypothesis: Hypothesis, source_words: list[str]
) -> str:
    """The text with a word of the source in the place of each unknown word."""
    assert hypothesis.attention is not None
    words = tokens[:-1] if hypothesis.finished else list(tokens)
    places = hypothesis.attention[:, : len(source_words)].argmax(1).tolist()
    for position, index in enumerate(ids[: len(words)]):
        if index == target.unk_id:
            words[position] = source_words[places[position]]
    return " ".join(words)
