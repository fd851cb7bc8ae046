"""How sequences are searched for and drawn: the settings of decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recurra.errors import ConfigError
from recurra.settings import check, setting

Penalty = Literal["power", "gnmt"]


@dataclass(frozen=True)
class BeamConfig:
    """How wide to search, and how hypotheses of different length compare.

    The score is log P / T_y ** alpha or, with GNMT's penalty, log P / ((5 + T_y) / 6) ** alpha, plus GNMT's
    coverage penalty; T_y counts the stop symbol. A beam of one still puts every end it passes into its pool, so it may
    find a better sequence than `greedy`, which stops at the first.

    Attributes:
        beam_size: beam width, the most live hypotheses per source.
        length_penalty: alpha: outputs are ranked by log P / length ** alpha, from 0, which prefers short ones, to 1.
        penalty: that, or GNMT's form of it (Wu et al. 2016, equation 14).
        coverage_penalty: beta: GNMT's penalty for source symbols left out; above 0 the model needs attention.
        n_best: number of outputs per source, at most the beam width; changes nothing about the search.
        min_length: minimum length of an output, EOS included.
        max_length: maximum length of an output, EOS included (default: 1.5 × source length + 10).
        no_repeat_ngram: no sequence of so many symbols occurs twice in an output, EOS excepted; 0 allows all.

    Raises:
        ConfigError: a value is out of range.
    """

    beam_size: int = setting(5, at_least=1)
    length_penalty: float = setting(0.7, at_least=0, at_most=1)
    penalty: Penalty = "power"
    coverage_penalty: float = setting(0.0, at_least=0)
    n_best: int = setting(1, at_least=1)
    min_length: int = setting(1, at_least=1)
    max_length: int | None = setting(None, at_least=1)
    no_repeat_ngram: int = setting(0, at_least=0)

    def __post_init__(self) -> None:
        check(self)
        if self.n_best > self.beam_size:
            raise ConfigError(
                f"n_best: expected at most the beam size {self.beam_size}, got {self.n_best}; "
                "widen the beam (--beam-size) or ask for fewer (--n-best)."
            )
        if self.max_length is not None and self.max_length < self.min_length:
            raise ConfigError(
                f"max_length: expected at least the minimum length {self.min_length}, got {self.max_length}."
            )

    def limits(self, source_lengths: Sequence[int]) -> list[int]:
        """The most symbols for sources of these lengths: `max_lengths` for the searches."""
        if self.max_length is not None:
            return [self.max_length for _ in source_lengths]
        return [max(default_max_length(length), self.min_length) for length in source_lengths]


def default_max_length(source_length: int) -> int:
    """Maximum length of a translation, the stop symbol included: 1.5 Tx + 10, rounded down."""
    return int(1.5 * source_length) + 10


@dataclass(frozen=True)
class SamplingConfig:
    """How symbols are drawn.

    The model's logits are divided by `temperature` first; `top_k` then keeps the k most probable symbols,
    and `top_p` of those the smallest set whose probability reaches p (nucleus sampling; Holtzman et al. 2020). Ties go
    to the lower id throughout.

    Attributes:
        max_length: maximum number of symbols drawn, the stop symbol included.
        temperature: below 1 more probable, above 1 more varied; 0: always the most probable.
        top_k: draw only from the k most probable symbols (default: all).
        top_p: draw only from the most probable symbols that together hold this probability (default: all).
        seed: the same seed gives the same samples (default: a fresh one).

    Raises:
        ConfigError: a value is out of range.
    """

    max_length: int = setting(200, at_least=1)
    temperature: float = setting(1.0, at_least=0)
    top_k: int | None = setting(None, at_least=1)
    top_p: float | None = setting(None, above=0, at_most=1, expected="a probability above 0 and up to 1")
    seed: int | None = setting(None, at_least=0)

    def __post_init__(self) -> None:
        check(self)
