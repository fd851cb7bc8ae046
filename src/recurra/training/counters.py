"""Where training stands: plain numbers, saved as they are, and what the limits of the run make of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recurra.durable import finite
from recurra.errors import RunError
from recurra.training.config import FitConfig


@dataclass
class Counters:
    """Counts since the run began, and, below them, since the last evaluation."""

    step: int = 0
    epoch: int = 0
    index: int = 0  # of the next batch in the epoch
    epoch_length: int = 1  # batches in it
    tokens: int = 0
    seconds: float = 0.0  # wall clock since the first batch, as of the last save
    trained_seconds: float = 0.0  # the same, until the end of the last update
    update_seconds: float = 0.0  # what the slowest of the last updates took
    evaluation_seconds: float = 0.0  # what the last evaluation took
    evaluated: int = 0  # step of the last evaluation
    best_loss: float | None = None  # of the best evaluation, as is the next
    best_step: int | None = None
    best_criterion: float | None = None  # what made it the best
    evaluations_since_best: int = 0  # evaluations since the best one
    learning_rate: float = 0.0  # of the last update

    loss_sum: float = 0.0
    loss_tokens: int = 0
    norm_sum: float = 0.0
    clipped: int = 0
    updates: int = 0
    busy_seconds: float = 0.0

    @property
    def epochs(self) -> float:
        """Epochs made, with the fraction of the present one."""
        return self.epoch + self.index / self.epoch_length

    def updated(self, loss_sum: float, tokens: int, norm: float, clipped: bool) -> None:
        """One update was made."""
        self.step += 1
        self.tokens += tokens
        self.loss_sum += loss_sum
        self.loss_tokens += tokens
        self.norm_sum += norm
        self.clipped += clipped
        self.updates += 1

    def evaluation(self, loss: float, criterion: float) -> bool:
        """An evaluation was made; whether its criterion is the lowest so far."""
        better = self.best_criterion is None or criterion < self.best_criterion
        if better:
            self.best_loss, self.best_step, self.best_criterion = loss, self.step, criterion
        self.evaluations_since_best = 0 if better else self.evaluations_since_best + 1
        self.evaluated = self.step
        self.loss_sum = self.norm_sum = self.busy_seconds = 0.0
        self.loss_tokens = self.clipped = self.updates = 0
        return better

    def metrics(self, scores: Mapping[str, float]) -> dict[str, Any]:
        """The line of `metrics.jsonl` for an evaluation that gave `scores`; before `evaluation`."""
        line = {
            "step": self.step,
            "epoch": self.epochs,
            "tokens": self.tokens,
            "seconds": self.trained_seconds,
            "train_loss": self.loss_sum / max(self.loss_tokens, 1),
            **{f"valid_{name}": value for name, value in scores.items()},
            "learning_rate": self.learning_rate,
            "gradient_norm": self.norm_sum / max(self.updates, 1),
            "clip_rate": self.clipped / max(self.updates, 1),
            "tokens_per_second": self.loss_tokens / max(self.busy_seconds, 1e-9),
        }
        metrics: dict[str, Any] = finite(line)
        return metrics

    def progress(self, config: FitConfig, elapsed: float) -> float:
        """The largest share used up of any limit, in [0, 1]; `elapsed` in seconds."""
        shares = [
            self.step / config.steps if config.steps is not None else 0.0,
            self.epochs / config.epochs if config.epochs is not None else 0.0,
            elapsed / (60.0 * config.minutes) if config.minutes is not None else 0.0,
        ]
        return min(1.0, max(shares))

    def limit_reached(self, config: FitConfig, elapsed: float) -> str | None:
        """The limit that forbids another update, if there is one.

        Under a limit in minutes an update is begun only if it may take twice as long as the slowest of the
        last twenty and still end in time.
        """
        if config.steps is not None and self.step >= config.steps:
            return "steps"
        if config.epochs is not None and self.epochs >= config.epochs:
            return "epochs"
        if config.minutes is not None and elapsed + 2.0 * self.update_seconds >= 60.0 * config.minutes:
            return "minutes"
        if config.patience is not None and self.evaluations_since_best >= config.patience:
            return "patience"
        return None

    def evaluation_due(self, config: FitConfig, elapsed: float, ending: bool) -> bool:
        """Whether to evaluate before the next update; always when the run is `ending`, but never twice.

        An evaluation that would use up what is left of the minutes is left out: that time is better spent
        on updates, and an evaluation follows the last one anyway.
        """
        if self.step == self.evaluated:
            return False
        if ending:
            return True
        if config.minutes is not None and elapsed + self.evaluation_seconds >= 60.0 * config.minutes:
            return False
        if config.evaluate_every is not None:
            return self.step % config.evaluate_every == 0
        return self.index == 0

    @classmethod
    def unpack(cls, values: Mapping[str, Any], source: object) -> Counters:
        """The inverse of `dataclasses.asdict`.

        Raises:
            RunError: the values are damaged or foreign.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        if set(values) != known:
            raise RunError(f"{source}: values.json holds other counters than expected; damaged or foreign.")
        for name, value in values.items():
            whole = isinstance(getattr(cls, name), int)
            optional = name in ("best_loss", "best_step", "best_criterion")
            if type(value) not in ((int,) if whole else (int, float)) and not (optional and value is None):
                raise RunError(f"{source}: values.json: counters.{name} is {value!r}, not a number; damaged.")
        return cls(**values)
