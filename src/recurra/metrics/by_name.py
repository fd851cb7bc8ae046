"""The metrics of outputs that are text, by the names a task's configuration gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recurra.errors import ConfigError, nearest
from recurra.metrics.bleu import corpus_bleu, corpus_chrf
from recurra.metrics.error_rates import error_rate, exact_match, sequence_error_rate
from recurra.metrics.score import Score


@dataclass(frozen=True)
class Outputs:
    """Outputs and what they should have been.

    Attributes:
        hypotheses: the outputs, a line of text each.
        references: for each of them its references, one or more.
        tokenize: sacrebleu's name of BLEU's tokeniser; the other metrics take the text as it is.
        lowercase: compare without case, in every metric.
        allow_tokenised: the outputs are tokenised on purpose; BLEU makes no note of it.
    """

    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]]
    tokenize: str = "13a"
    lowercase: bool = False
    allow_tokenised: bool = False

    def cased(self) -> tuple[list[str], list[list[str]]]:
        """Hypotheses and references, lower-cased if they are compared without case."""
        case = str.lower if self.lowercase else str
        return [case(line) for line in self.hypotheses], [[case(line) for line in r] for r in self.references]

    def tokens(self) -> tuple[list[list[str]], list[list[list[str]]]]:
        """The same, split on white space."""
        hypotheses, references = self.cased()
        return [line.split() for line in hypotheses], [[line.split() for line in r] for r in references]


METRICS: dict[str, Callable[[Outputs], Score]] = {
    "bleu": lambda o: corpus_bleu(o.hypotheses, o.references, o.tokenize, o.lowercase, o.allow_tokenised),
    "chrf": lambda o: corpus_chrf(o.hypotheses, o.references, o.lowercase),
    "token_error_rate": lambda o: error_rate(*o.tokens()),
    "phoneme_error_rate": lambda o: error_rate(*o.tokens(), "phoneme"),
    "word_error_rate": lambda o: error_rate(*o.tokens(), "word"),
    "sequence_error_rate": lambda o: sequence_error_rate(*o.tokens()),
    "exact_match": lambda o: exact_match(*o.cased()),
}
"""The function behind each name. Error rates take symbols separated by white space; `exact_match` compares the lines
character by character. The score says which direction is better."""


def metric_named(name: str) -> Callable[[Outputs], Score]:
    """The function that computes the metric of that name.

    Raises:
        ConfigError: there is none; with the nearest one.
    """
    if name not in METRICS:
        raise ConfigError(
            f"metric: expected one of {', '.join(METRICS)}, got {name!r}.{nearest(str(name), METRICS)}"
        )
    return METRICS[name]


def score_outputs(
    names: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str = "13a",
    lowercase: bool = False,
    allow_tokenised: bool = False,
) -> dict[str, Score]:
    """Each named metric of the outputs, in the order of `names`.

    Args:
        names: keys of `METRICS`.
        hypotheses: the outputs, a line of text each.
        references: for each of them its references, one or more.
        tokenize: sacrebleu's name of BLEU's tokeniser.
        lowercase: compare without case, in every metric.
        allow_tokenised: the outputs are tokenised on purpose; BLEU makes no note of it.

    Raises:
        ConfigError: a metric or the tokeniser is unknown.
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    metrics = {name: metric_named(name) for name in names}
    outputs = Outputs(hypotheses, references, tokenize, lowercase, allow_tokenised)
    return {name: measure(outputs) for name, measure in metrics.items()}
