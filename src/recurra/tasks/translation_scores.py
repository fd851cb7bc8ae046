"""The scores of a translator's outputs, by the metrics of its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recurra.metrics.bleu import BleuScore
from recurra.metrics.by_name import score_outputs
from recurra.metrics.evaluation import OUTPUTS, Evaluation, Table
from recurra.metrics.perplexity import Cost
from recurra.metrics.score import Score

if TYPE_CHECKING:
    from recurra.tasks.translate import TranslateConfig


def score_texts(
    config: TranslateConfig, outputs: Sequence[str], references: Sequence[Sequence[str]]
) -> dict[str, Score]:
    """The configured metrics of outputs, by name."""
    how = config.evaluation
    return score_outputs(
        config.metrics, outputs, references, how.tokenize, how.lowercase, how.allow_tokenised
    )


def evaluation_of(
    config: TranslateConfig,
    cost: Cost,
    sources: Sequence[str],
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
) -> Evaluation:
    """The loss, the scores, and a table of all outputs.

    Args:
        config: of the run.
        cost: of all pairs.
        sources: their text, each once.
        outputs: the best output of each.
        references: the unique targets of each.
    """
    scores = score_texts(config, outputs, references)
    perplexity = cost.scores()
    rows = [
        (source, output, *listed) for source, output, listed in zip(sources, outputs, references, strict=True)
    ]
    notes = [score.note for score in scores.values() if isinstance(score, BleuScore) and score.note]
    return Evaluation(
        loss=cost.loss,
        counts={"tokens": cost.tokens},
        scores={**perplexity, **scores},
        tables={OUTPUTS: Table(("source", "output", "references"), rows)},
        notes=notes,
        best_by=config.metrics[0] if config.evaluation.best == "score" else None,
    )
