"""The metrics of outputs that are text, by the names a task's configuration gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recurra.errors import ConfigError, nearest
from recurra.metrics.bleu import corpus_bleu, corpus_chrf
from recurra.metrics.error_rates import error_rate, exact_match, word_error_rate


class Scored(Protocol):
    """A score that carries its recipe."""

    @property
    def score(self) -> float:
        """The figure, in percent."""
        ...

    @property
    def recipe(self) -> str:
        """How it was computed, and from what counts, in one line."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """The figure and what it is made of, as plain values."""
        ...


@dataclass(frozen=True)
class Outputs:
    """Outputs and what they should have been.

    Attributes:
        hypotheses: the outputs, a line of text each.
        references: for each of them its references, one or more.
        tokenize: sacrebleu's name of BLEU's tokeniser; the other metrics take the text as it is.
        lowercase: compare without case, in every metric.
        force: the outputs are meant to be tokenised already.
    """

    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]]
    tokenize: str = "13a"
    lowercase: bool = False
    force: bool = False

    def cased(self) -> tuple[list[str], list[list[str]]]:
        """Hypotheses and references, lower-cased if they are compared without case."""
        case = str.lower if self.lowercase else str
        return [case(line) for line in self.hypotheses], [[case(line) for line in r] for r in self.references]

    def tokens(self) -> tuple[list[list[str]], list[list[list[str]]]]:
        """The same, split on white space."""
        hypotheses, references = self.cased()
        return [line.split() for line in hypotheses], [[line.split() for line in r] for r in references]


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        measure: computes it; what it returns has `score`, in percent, and `recipe`.
        higher_is_better: a larger score is the better one.
    """

    measure: Callable[[Outputs], Scored]
    higher_is_better: bool


METRICS: dict[str, Metric] = {
    "bleu": Metric(
        lambda o: corpus_bleu(o.hypotheses, o.references, o.tokenize, o.lowercase, o.force),
        higher_is_better=True,
    ),
    "chrf": Metric(lambda o: corpus_chrf(o.hypotheses, o.references, o.lowercase), higher_is_better=True),
    "token_error_rate": Metric(lambda o: error_rate(*o.tokens()), higher_is_better=False),
    "phoneme_error_rate": Metric(lambda o: error_rate(*o.tokens(), "phoneme"), higher_is_better=False),
    "word_error_rate": Metric(lambda o: word_error_rate(*o.tokens()), higher_is_better=False),
    "exact_match": Metric(lambda o: exact_match(*o.cased()), higher_is_better=True),
}
"""Error rates take white-space separated symbols; an exact match is one character for character."""


def metric_named(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ConfigError: there is none; with the nearest one.
    """
    if name not in METRICS:
        raise ConfigError(
            f"metric: expected one of {', '.join(METRICS)}; got {name!r}.{nearest(str(name), METRICS)}"
        )
    return METRICS[name]


def score_outputs(
    names: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str = "13a",
    lowercase: bool = False,
    force: bool = False,
) -> dict[str, Scored]:
    """Each named metric of the outputs, in the order of `names`; `.score` and `.recipe` are what to print.

    Args:
        names: keys of `METRICS`.
        hypotheses: the outputs, a line of text each.
        references: for each of them its references, one or more.
        tokenize: sacrebleu's name of BLEU's tokeniser.
        lowercase: compare without case, in every metric.
        force: the outputs are meant to be tokenised already.

    Raises:
        ConfigError: a metric or the tokeniser is unknown.
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    metrics = {name: metric_named(name) for name in names}
    outputs = Outputs(hypotheses, references, tokenize, lowercase, force)
    return {name: metric.measure(outputs) for name, metric in metrics.items()}
