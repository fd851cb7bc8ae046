"""Perplexity, nats per token and bits per character, with what was counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recurra.errors import DataError


@dataclass(frozen=True)
class Score:
    """The cost of a text under a language model.

    Args:
        nats_sum: the negative log-likelihood in nats, summed over every true token.
        tokens: how many tokens that sum runs over, line ends counted and padding not; at least 1.
        characters: the length of the raw text (bytes for a byte vocabulary), or None where a text has none.
        counted: what a token is, in words (`Vocabulary.counted`).

    Raises:
        DataError: there is no token to divide by.
    """

    nats_sum: float
    tokens: int
    characters: int | None = None
    counted: str = "tokens"

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise DataError(
                f"tokens: expected at least one to score, got {self.tokens}. Give a text that is not empty."
            )

    @property
    def nats(self) -> float:
        """Nats per token."""
        return self.nats_sum / self.tokens

    @property
    def perplexity(self) -> float:
        """exp(nats per token); infinite where that is beyond a float."""
        try:
            return math.exp(self.nats)
        except OverflowError:
            return math.inf

    @property
    def bits_per_character(self) -> float | None:
        """Bits per character of the raw text, white space included; None where the text has no characters."""
        return self.nats_sum / math.log(2) / self.characters if self.characters else None

    @property
    def recipe(self) -> str:
        """What was summed and what it was divided by, in one line."""
        if self.characters is None:
            return f"nats = sum of -ln P / tokens; {self.tokens} tokens: {self.counted}"
        recipe = f"perplexity = exp(sum of -ln P / tokens); {self.tokens} tokens: {self.counted}"
        if self.characters:
            recipe += f"; bits per character over {self.characters} characters of the raw text"
        return recipe

    def __add__(self, other: Score) -> Score:
        """The score of both texts together.

        Raises:
            DataError: the two count different things.
        """
        if self.counted != other.counted:
            raise DataError(f"cannot add a score over {other.counted} to one over {self.counted}.")
        both = self.characters is not None and other.characters is not None
        characters = (self.characters or 0) + (other.characters or 0) if both else None
        return Score(self.nats_sum + other.nats_sum, self.tokens + other.tokens, characters, self.counted)

    def as_dict(self) -> dict[str, float | int | str | None]:
        """The figures and the recipe, as plain values; what is no text, such as note sets, has no perplexity."""
        return {
            "nats": self.nats,
            "perplexity": None if self.characters is None else self.perplexity,
            "bits_per_character": self.bits_per_character,
            "nats_sum": self.nats_sum,
            "tokens": self.tokens,
            "characters": self.characters,
            "recipe": self.recipe,
        }
