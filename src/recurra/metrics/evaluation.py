"""Evaluation: the loss and the scores of a model on some data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recurra.metrics.score import Score


@dataclass(frozen=True)
class Table:
    """Rows under the names of columns, as plain values; the last column may take several values of a row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Evaluation:
    """The loss of a model on some data, its scores, and the outputs that they were computed from.

    Attributes:
        loss: nats per token.
        counts: by name: `tokens`, which the loss is the mean over, and `characters` where there are any.
        scores: by name.
        tables: outputs, references and the like, by name.
        notes: warnings about the scores, a line each.
        best_by: the name of the score that decides which evaluation is the best; None: the loss.
    """

    loss: float
    counts: Mapping[str, int]
    scores: Mapping[str, Score] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    notes: Sequence[str] = ()
    best_by: str | None = None

    @property
    def tokens(self) -> int:
        """How many tokens the loss is the mean over."""
        return self.counts["tokens"]

    @property
    def criterion(self) -> float:
        """The number that is to fall: the loss, or the deciding score, negated where higher is better."""
        return self.loss if self.best_by is None else self.scores[self.best_by].cost

    @property
    def signatures(self) -> list[str]:
        """The signatures of the scores, without repetitions."""
        return list(dict.fromkeys(score.signature for score in self.scores.values()))

    def figures(self) -> dict[str, float]:
        """The loss and each score's value, by name: a line of `metrics.jsonl`."""
        return {"loss": self.loss, **{name: score.value for name, score in self.scores.items()}}

    def all_figures(self) -> dict[str, float]:
        """The loss, the counts and each score's value, by name, in that order."""
        return {"loss": self.loss, **self.counts, **self.figures()}

    def as_dict(self) -> dict[str, Any]:
        """All figures, and under `signatures` how each score was computed, as plain values."""
        signatures = {name: score.signature for name, score in self.scores.items()}
        return {**self.all_figures(), "signatures": signatures}
