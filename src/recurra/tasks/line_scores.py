"""What a language model says of lines of text: how probable each is.

B batch, T time, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from recurra.data.batches import START, pad_sequences
from recurra.data.unknown import COMPARE, count_unknown
from recurra.data.vocabulary import Ids, Vocabulary, text_of
from recurra.layers.mode import evaluating
from recurra.metrics.perplexity import Cost
from recurra.models.language_model import LanguageModel
from recurra.tasks.prediction import Prediction

LINES_AT_ONCE = 32
"""How many lines are scored together; it changes speed and memory, not scores."""

MOST_STEPS = 512
"""The maximum number of steps in a window of lines."""

NUMBERS_AT_ONCE = 1 << 23
"""How many numbers an array may have that a window or its output needs: 32 MiB; fewer steps are taken at once."""


@dataclass(frozen=True, repr=False)
class LineScore(Prediction):
    """The score of one line, from the zero state, its line end included.

    Attributes:
        text: the line, without its line end; of a line of bytes, what it is in UTF-8, and U+FFFD for what is not.
        tokens: a printable label per token, the line end last.
        token_log_probs: ln P of each token given those before it.
        unknown: how many tokens the vocabulary does not know; each is scored as UNK.
        shows_tokens: `line` and `as_dict` have them too.
    """

    header: ClassVar[str] = f"{'log-probability':>15}  {'tokens':>7}  {'perplexity':>12}  text"
    remark: ClassVar[str] = COMPARE

    text: str
    tokens: list[str]
    token_log_probs: list[float]
    unknown: int = 0
    shows_tokens: bool = False

    @property
    def symbols(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    @property
    def log_prob(self) -> float:
        """ln P of the line."""
        return math.fsum(self.token_log_probs)

    @property
    def perplexity(self) -> float:
        """exp of the mean of −ln P per token; infinite where that is beyond a float."""
        return Cost(-self.log_prob, len(self.tokens)).perplexity

    def line(self) -> str:
        """Log-probability, number of tokens, perplexity and text, in columns."""
        lines = [f"{self.log_prob:15.4f}  {len(self.tokens):7d}  {self.perplexity:12.4f}  {self.text}"]
        if self.shows_tokens:
            pairs = zip(self.tokens, self.token_log_probs, strict=True)
            lines += [f"{log_prob:15.4f}  {'':7}  {'':12}  {_visible(token)}" for token, log_prob in pairs]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        record: dict[str, Any] = {
            "text": self.text,
            "log_prob": self.log_prob,
            "tokens": len(self.tokens),
            "perplexity": self.perplexity,
            "unknown": self.unknown,
        }
        if self.shows_tokens:
            record["token_log_probs"] = list(zip(self.tokens, self.token_log_probs, strict=True))
        return record


@dataclass(frozen=True, repr=False)
class Choice(Prediction):
    """The most probable of a line's alternatives; of equally probable ones the first.

    Attributes:
        best: its number, from 0.
        alternatives: the score of each.
    """

    remark: ClassVar[str] = COMPARE

    best: int
    alternatives: list[LineScore]
    unknown: int = 0

    @property
    def symbols(self) -> int:
        """The number of tokens of all alternatives."""
        return sum(one.symbols for one in self.alternatives)

    def line(self) -> str:
        """Its text; with its tokens, its score."""
        chosen = self.alternatives[self.best]
        return chosen.line() if chosen.shows_tokens else chosen.text

    def as_dict(self) -> dict[str, Any]:
        """It and all alternatives."""
        records = [one.as_dict() for one in self.alternatives]
        return {"best": self.best, "text": self.alternatives[self.best].text, "alternatives": records}


LinePrediction = LineScore | Choice


def score_lines(
    model: LanguageModel, vocabulary: Vocabulary, lines: Sequence[str | bytes], shows_tokens: bool = False
) -> Iterator[LineScore]:
    """The score of each line, in their order.

    Args:
        model: over symbols, not note sets.
        vocabulary: of the model.
        lines: without their line ends; bytes where the vocabulary is of bytes.
        shows_tokens: of the scores.
    """
    for begin in range(0, len(lines), LINES_AT_ONCE):
        yield from _score_group(model, vocabulary, lines[begin : begin + LINES_AT_ONCE], shows_tokens)


def choose_alternatives(
    model: LanguageModel, vocabulary: Vocabulary, lines: Sequence[str | bytes], shows_tokens: bool = False
) -> Iterator[Choice]:
    """The most probable of the tab-separated alternatives of each line; arguments as of `score_lines`."""
    for line in lines:
        alternatives: Sequence[str | bytes] = (
            line.split(b"\t") if isinstance(line, bytes) else line.split("\t")
        )
        scores = list(score_lines(model, vocabulary, alternatives, shows_tokens))
        best = max(range(len(scores)), key=lambda index: scores[index].log_prob)  # of equals, the first
        yield Choice(best, scores, sum(one.unknown for one in scores))


def _score_group(
    model: LanguageModel, vocabulary: Vocabulary, lines: Sequence[str | bytes], shows_tokens: bool
) -> Iterator[LineScore]:
    end = vocabulary.eos_id
    assert end is not None, "only note sets have none"
    rows = [np.append(vocabulary.encode_line(line), end).astype(np.int64) for line in lines]
    for line, row, log_probs in zip(lines, rows, _log_probs(model, rows), strict=True):
        yield LineScore(
            text=text_of(line),
            tokens=[vocabulary.symbols[index] for index in row],
            token_log_probs=log_probs,
            unknown=count_unknown(vocabulary, row),
            shows_tokens=shows_tokens,
        )


@torch.no_grad()
def _log_probs(model: LanguageModel, rows: Sequence[Ids]) -> list[list[float]]:
    """ln P of each id of each row `[T]`, from the zero state.

    Rows are read in windows that carry the state on, and one that has ended leaves them, so that neither a long row nor
    a short one beside it costs more than its own length.
    """
    device, found = model.output_bias.device, [list[float]() for _ in rows]
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number]))  # those that end first are last
    width = max(model.rnn.input_size, *model.rnn.hidden_sizes)
    steps = min(MOST_STEPS, max(1, NUMBERS_AT_ONCE // (width * len(rows))))
    state = None
    for begin in range(0, len(rows[order[0]]), steps):
        order = [number for number in order if len(rows[number]) > begin]
        pieces = [rows[number][begin : begin + steps] for number in order]
        targets, lengths = pad_sequences(pieces)  # [B, T]
        before = [START if begin == 0 else int(rows[number][begin - 1]) for number in order]
        inputs = torch.cat([torch.tensor(before, device="cpu")[:, None], targets[:, :-1]], dim=1)
        state = None if state is None else state.select(range(len(order)))
        with evaluating(model):
            hidden, state = model.features(inputs.to(device), state, lengths.to(device))
        for number, piece, features in zip(order, pieces, hidden, strict=True):
            found[number] += _of_targets(model, features[: len(piece)], torch.from_numpy(piece).to(device))
    return found


def _of_targets(model: LanguageModel, features: Tensor, targets: Tensor) -> list[float]:
    """ln P of each target `[T]`, given the features `[T, H]`; `[T, V]` is made in slices."""
    size = max(1, NUMBERS_AT_ONCE // model.vocabulary_size)
    parts = [
        model.log_probs(part).gather(1, ids[:, None]).squeeze(1)
        for part, ids in zip(features.split(size), targets.split(size), strict=True)
    ]
    log_probs: list[float] = torch.cat(parts).tolist()
    return log_probs


def _visible(token: str) -> str:
    """A token's label, quoted where it would begin or end in white space."""
    return token if token == token.strip() and token else repr(token)
