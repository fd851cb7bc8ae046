"""The cost of a text: loss, perplexity and bits per character, with what was counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recurra.errors import DataError
from recurra.metrics.evaluation import Evaluation
from recurra.metrics.score import Score


@dataclass(frozen=True)
class Cost:
    """The cost of a text under a language model.

    Args:
        nats_sum: the negative log-likelihood in nats, summed over every true token.
        tokens: how many tokens that sum runs over, line ends counted and padding not; at least 1.
        characters: the length of the raw text (bytes for a byte vocabulary), or None where a text has none.
        unit: what a token is, in words (`Vocabulary.unit`).

    Raises:
        DataError: there is no token to divide by.
    """

    nats_sum: float
    tokens: int
    characters: int | None = None
    unit: str = "tokens"

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise DataError(
                f"tokens: expected at least one to score, got {self.tokens}. Give a text that is not empty."
            )

    @property
    def loss(self) -> float:
        """Nats per token."""
        return self.nats_sum / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that is beyond a float."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    @property
    def bits_per_character(self) -> float | None:
        """Bits per character of the raw text, white space included; None where the text has no characters."""
        return self.nats_sum / math.log(2) / self.characters if self.characters else None

    @property
    def signature(self) -> str:
        """What was summed and what it was divided by, in one line."""
        signature = f"perplexity = exp(sum of -ln P / tokens); {self.tokens} tokens: {self.unit}"
        if self.characters:
            signature += f"; bits per character over {self.characters} characters of the raw text"
        return signature

    def scores(self) -> dict[str, Score]:
        """Perplexity, and bits per character where the text has characters; lower is better."""
        figures = {"perplexity": self.perplexity, "bits_per_character": self.bits_per_character}
        return {
            name: Score(name, value, False, self.signature)
            for name, value in figures.items()
            if value is not None
        }

    def evaluation(self) -> Evaluation:
        """The loss with its counts, and the scores where there are characters; note sets have none."""
        counts = {"tokens": self.tokens}
        if self.characters is None:
            return Evaluation(self.loss, counts)
        return Evaluation(self.loss, {**counts, "characters": self.characters}, self.scores())

    def __add__(self, other: Cost) -> Cost:
        """The cost of both texts together.

        Raises:
            DataError: the two count different things.
        """
        if self.unit != other.unit:
            raise DataError(f"cannot add a cost over {other.unit} to one over {self.unit}.")
        both = self.characters is not None and other.characters is not None
        characters = (self.characters or 0) + (other.characters or 0) if both else None
        return Cost(self.nats_sum + other.nats_sum, self.tokens + other.tokens, characters, self.unit)
