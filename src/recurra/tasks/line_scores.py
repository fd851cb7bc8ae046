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

from recurra.contracts import Batch
from recurra.data.batches import pad_sequences
from recurra.data.vocabulary import Vocabulary
from recurra.layers.mode import evaluating
from recurra.metrics.perplexity import Cost
from recurra.models.language_model import LanguageModel
from recurra.tasks.prediction import Prediction

LINES_AT_ONCE = 32
"""How many lines are scored together; it changes speed and memory, not scores."""


@dataclass(frozen=True)
class LineScore(Prediction):
    """The score of one line, from the zero state, its line end included.

    Attributes:
        text: the line, without its line end.
        tokens: a printable label per token, the line end last.
        token_log_probs: ln P of each token given those before it.
        unknown: how many tokens the vocabulary does not know; each is scored as UNK.
        shows_tokens: `line` and `as_dict` have them too.
    """

    header: ClassVar[str] = f"{'log-probability':>15}  {'tokens':>7}  {'perplexity':>12}  text"

    text: str
    tokens: list[str]
    token_log_probs: list[float]
    unknown: int = 0
    shows_tokens: bool = False

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


@dataclass(frozen=True)
class Choice(Prediction):
    """The most probable of a line's alternatives; of equally probable ones the first.

    Attributes:
        best: its number, from 0.
        alternatives: the score of each.
    """

    best: int
    alternatives: list[LineScore]

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
    model: LanguageModel, vocabulary: Vocabulary, lines: Sequence[str], shows_tokens: bool = False
) -> Iterator[LineScore]:
    """The score of each line, in their order.

    Args:
        model: over symbols, not note sets.
        vocabulary: of the model.
        lines: without their line ends.
        shows_tokens: of the scores.
    """
    for begin in range(0, len(lines), LINES_AT_ONCE):
        yield from _score_group(model, vocabulary, lines[begin : begin + LINES_AT_ONCE], shows_tokens)


def choose_alternatives(
    model: LanguageModel, vocabulary: Vocabulary, lines: Sequence[str], shows_tokens: bool = False
) -> Iterator[Choice]:
    """The most probable of the tab-separated alternatives of each line; arguments as of `score_lines`."""
    for line in lines:
        scores = list(score_lines(model, vocabulary, line.split("\t"), shows_tokens))
        best = max(range(len(scores)), key=lambda index: scores[index].log_prob)  # of equals, the first
        yield Choice(best, scores)


@torch.no_grad()
def _score_group(
    model: LanguageModel, vocabulary: Vocabulary, lines: Sequence[str], shows_tokens: bool
) -> Iterator[LineScore]:
    end = vocabulary.eos_id
    assert end is not None, "only note sets have none"
    device = model.output_bias.device
    rows = [np.append(vocabulary.encode_line(line), end).astype(np.int64) for line in lines]
    targets, lengths = pad_sequences(rows)  # [B, T]
    start = torch.full((len(rows), 1), -1, device="cpu")
    batch = Batch(torch.cat([start, targets[:, :-1]], dim=1), lengths=lengths).to(device)
    with evaluating(model):
        assert isinstance(batch.inputs, torch.Tensor)
        hidden, _ = model.features(batch.inputs, lengths=batch.lengths)
    for line, row, features in zip(lines, rows, hidden, strict=True):
        log_probs = model.log_probs(features[: len(row)]).double()  # [T, V]
        of_tokens = log_probs.gather(1, torch.from_numpy(row).to(device)[:, None]).squeeze(1)
        yield LineScore(
            text=line,
            tokens=[vocabulary.symbols[index] for index in row],
            token_log_probs=of_tokens.tolist(),
            unknown=0 if vocabulary.unk_id is None else int((row == vocabulary.unk_id).sum()),
            shows_tokens=shows_tokens,
        )


def _visible(token: str) -> str:
    """A token's label, quoted where it would begin or end in white space."""
    return token if token == token.strip() and token else repr(token)
