"""Evaluation: the loss and the scores of a model on some data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from recurra.data.unknown import COMPARE, unknown_share
from recurra.metrics.score import Score

OUTPUTS = "outputs"
"""The name of the table of sources, outputs and references, where an evaluation has one."""


@dataclass(frozen=True)
class Table:
    """Rows under the names of columns, as plain values; the last column may take several values of a row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The loss of a model on some data, its scores, and the outputs that they were computed from.

    Attributes:
        loss: nats per token.
        counts: by name: `tokens`, which the loss is the mean over; `characters` where there are any; `unknown`, the
            tokens that the vocabulary does not know, where there can be some.
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

    def with_unknown(self, unknown: int) -> Evaluation:
        """The same with the count of tokens that the vocabulary does not know, and a note where there are some."""
        counts = {**self.counts, "unknown": unknown}
        notes = [f"{unknown_share(unknown, self.tokens)}; {COMPARE}."] if unknown else []
        return replace(self, counts=counts, notes=[*self.notes, *notes])

    def __repr__(self) -> str:
        """Its figures; what they were computed from is in `tables`."""
        figures = [
            f"{name}={value:,}" if isinstance(value, int) else f"{name}={value:.4g}"
            for name, value in self.all_figures().items()
        ]
        return f"Evaluation({', '.join(figures)})"

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
