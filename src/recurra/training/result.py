"""Result: what training came to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        step: updates made.
        epoch: passes over the data made, with their fraction.
        tokens: targets trained on.
        seconds: wall clock from the first batch to the end of the last update.
        reason: what ended it: steps, epochs, minutes, patience or interrupted.
        best_loss, best_step: of the best evaluation, the one whose `criterion` (without one: whose loss) was
            lowest; None before the first.
        metrics: the line of `metrics.jsonl` of the last evaluation, empty before the first.
        best_metrics: the line of the best one, whose weights the run is used with unless `training.weights` is last.
    """

    step: int
    epoch: float
    tokens: int
    seconds: float
    reason: str
    best_loss: float | None
    best_step: int | None
    metrics: dict[str, Any]
    best_metrics: dict[str, Any] = field(default_factory=dict)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or SIGTERM ended it; `fit` with `resume=True` continues it."""
        return self.reason == "interrupted"
