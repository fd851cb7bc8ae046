"""Where training stands: plain numbers, saved as they are, and what the limits of the run make of them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recurra.durable import finite
from recurra.errors import RunError, quoted
from recurra.training.config import FitConfig

LINES = 100  # of training metrics in a run, about
EVALUATIONS = 10  # in a run, at least, where evaluating is quick enough
TOKENS_PER_EVALUATION = (
    4  # at least as many tokens are trained on between two evaluations as it reads times this
)
EVALUATION_SHARE = 0.15  # of the time so far, at most, under a limit in minutes


@dataclass
class Sums:
    """Sums over the updates since a moment: the last line of training metrics, or the last evaluation."""

    loss: float = 0.0  # nats
    tokens: int = 0
    norm: float = 0.0
    clipped: int = 0
    updates: int = 0
    seconds: float = 0.0  # spent in updates

    def add(self, loss: float, tokens: int, norm: float, clipped: bool, seconds: float) -> None:
        """One update was made."""
        self.loss += loss
        self.tokens += tokens
        self.norm += norm
        self.clipped += clipped
        self.updates += 1
        self.seconds += seconds


@dataclass
class Counters:
    """Counts since the run began, and sums since the last evaluation and the last line of training metrics."""

    step: int = 0
    epoch: int = 0
    index: int = 0  # of the next batch in the epoch
    epoch_length: int = 1  # batches in it
    tokens: int = 0
    seconds: float = 0.0  # wall clock since the first batch, as of the last save
    trained_seconds: float = 0.0  # the same, until the end of the last update
    update_seconds: float = 0.0  # what the slowest of the last updates took
    evaluation_seconds: float = (
        0.0  # what the last evaluation took, or before the first about what it will take
    )
    evaluation_tokens: int = 0  # how many tokens an evaluation reads
    evaluating_seconds: float = 0.0  # what all evaluations took
    evaluated: int = 0  # step of the last evaluation
    evaluated_share: float = 0.0  # of the run, at the last evaluation
    line_share: float = 0.0  # of the run, at the last line of training metrics
    best_loss: float | None = None  # of the best evaluation, as is the next
    best_step: int | None = None
    best_criterion: float | None = None  # what made it the best
    evaluations_since_best: int = 0  # evaluations since the best one
    learning_rate: float = 0.0  # of the last update
    since_evaluation: Sums = field(default_factory=Sums)
    since_line: Sums = field(default_factory=Sums)

    @property
    def epochs(self) -> float:
        """Epochs made, with the fraction of the present one."""
        return self.epoch + self.index / self.epoch_length

    def updated(self, loss_sum: float, tokens: int, norm: float, clipped: bool, seconds: float) -> None:
        """One update was made, in so many seconds."""
        self.step += 1
        self.tokens += tokens
        self.since_evaluation.add(loss_sum, tokens, norm, clipped, seconds)
        self.since_line.add(loss_sum, tokens, norm, clipped, seconds)

    def evaluation(self, loss: float, criterion: float, share: float = 0.0) -> bool:
        """An evaluation has ended at this share of the run; whether its criterion is the lowest so far."""
        better = self.best_criterion is None or criterion < self.best_criterion
        if better:
            self.best_loss, self.best_step, self.best_criterion = loss, self.step, criterion
        self.evaluations_since_best = 0 if better else self.evaluations_since_best + 1
        self.evaluated, self.evaluated_share = self.step, share
        # The hundredths that it took itself are over: a line right after it would tell of one update.
        self.line_share = max(self.line_share, share)
        self.since_evaluation = Sums()
        return better

    # ---------------------------------------------------------------- lines of metrics.jsonl

    def metrics(self, scores: Mapping[str, float]) -> dict[str, Any]:
        """The line of `metrics.jsonl` for an evaluation that gave `scores`; before `evaluation`.

        What it says of training is the mean over the updates since the evaluation before.
        """
        return self._line(self.since_evaluation, scores)

    def training_metrics(self, share: float) -> dict[str, Any]:
        """A line of `metrics.jsonl` on training alone, at this share of the run: means since the line before."""
        line = self._line(self.since_line, {})
        self.line_share, self.since_line = share, Sums()
        return line

    def _line(self, since: Sums, scores: Mapping[str, float]) -> dict[str, Any]:
        line = {
            "step": self.step,
            "epoch": self.epochs,
            "tokens": self.tokens,
            "seconds": self.trained_seconds,
            "train_loss": since.loss / max(since.tokens, 1),
            **{f"valid_{name}": value for name, value in scores.items()},
            "learning_rate": self.learning_rate,
            "gradient_norm": since.norm / max(since.updates, 1),
            "clip_rate": since.clipped / max(since.updates, 1),
            "tokens_per_second": since.tokens / max(since.seconds, 1e-9),
        }
        metrics: dict[str, Any] = finite(line)
        return metrics

    def line_due(self, share: float) -> bool:
        """Whether to write a line of training metrics after this update.

        At each hundredth of the run; and, as long as these lie further apart, at updates 1, 2, 4, 8, ..., which show
        how a long run begins.
        """
        return int(LINES * share) > int(LINES * self.line_share) or 2 * self.since_line.updates >= self.step

    # ---------------------------------------------------------------- limits

    def progress(self, config: FitConfig, elapsed: float) -> float:
        """The largest share used up of any limit, in [0, 1]; `elapsed` in seconds."""
        shares = [
            self.step / config.steps if config.steps is not None else 0.0,
            self.epochs / config.epochs if config.epochs is not None else 0.0,
            elapsed / (60.0 * config.minutes) if config.minutes is not None else 0.0,
        ]
        return min(1.0, max(shares))

    def resumed(self, config: FitConfig) -> None:
        """Training continues under limits that may be others than before, so its shares of them are smaller."""
        share = self.progress(config, self.seconds)
        self.line_share = min(self.line_share, share)
        self.evaluated_share = min(self.evaluated_share, share)

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

    # ---------------------------------------------------------------- evaluations

    def evaluation_due(self, config: FitConfig, elapsed: float, ending: bool) -> bool:
        """Whether to evaluate before the next update; always when the run is `ending`, but never twice.

        An evaluation that would use up what is left of the minutes is left out: that time is better spent
        on updates, and an evaluation follows the last one anyway. So is one at an interval that the user has not
        set, where evaluations would then have taken more than `EVALUATION_SHARE` of the minutes so far.
        """
        if self.step == self.evaluated:
            return False
        if ending:
            return True
        if config.minutes is not None and elapsed + self.evaluation_seconds >= 60.0 * config.minutes:
            return False
        if config.evaluate_every is not None:
            return self.step % config.evaluate_every == 0
        took = self.evaluating_seconds + self.evaluation_seconds
        if config.minutes is not None and took > EVALUATION_SHARE * elapsed:
            return False
        return self._interval_over(self.progress(config, elapsed))

    def _interval_over(self, share: float) -> bool:
        """Whether an epoch has ended, or in a run of few epochs a tenth of it.

        It depends on no clock unless the limit does, so that a resumed run evaluates where an uninterrupted one
        would. Tenths become larger parts where an evaluation reads many tokens in comparison with training.
        """
        if share <= 0.0:
            return False
        parts = EVALUATIONS
        if self.evaluation_tokens:
            tokens_in_all = self.tokens / share
            affordable = tokens_in_all / (TOKENS_PER_EVALUATION * self.evaluation_tokens)
            parts = min(parts, int(affordable + 1e-6))  # which rounding must not make one less
        if parts <= max(1.0, self.epochs / share):  # as many epochs as parts, or more
            return self.index == 0
        if (
            share - self.evaluated_share < 0.5 / parts
        ):  # the one before was late, to take no more time than it may
            return False
        return int(parts * share) > int(parts * self.evaluated_share)

    # ---------------------------------------------------------------- from a file

    @classmethod
    def unpack(cls, values: Mapping[str, Any], source: object) -> Counters:
        """The inverse of `dataclasses.asdict`; counters that were saved before there were lines of training too.

        Raises:
            RunError: the values are damaged or foreign.
        """
        values = _current(values)
        for name in ("since_evaluation", "since_line"):
            _check(Sums, values.get(name), f"{name}.", source)
            values[name] = Sums(**values[name])
        _check(cls, values, "", source)
        if values["index"] >= values["epoch_length"]:
            raise RunError(
                f"{source}: values.json: counters.index is {values['index']}, past its epoch; damaged."
            )
        return cls(**values)


_BEFORE_LINES = {
    "loss_sum": "loss",
    "loss_tokens": "tokens",
    "norm_sum": "norm",
    "clipped": "clipped",
    "updates": "updates",
    "busy_seconds": "seconds",
}
"""What the sums since the last evaluation were called in version 0.1, where they stood among the counters."""


def _current(values: Mapping[str, Any]) -> dict[str, Any]:
    """The counters under the names of today."""
    added = ("evaluation_tokens", "evaluating_seconds", "evaluated_share", "line_share")
    current = {**{name: getattr(Counters(), name) for name in added}, **values}
    if _BEFORE_LINES.keys() <= values.keys():
        current["since_evaluation"] = {new: current.pop(old) for old, new in _BEFORE_LINES.items()}
        current["since_line"] = dataclasses.asdict(Sums())
    return current


def _check(kind: type[Counters | Sums], values: Any, prefix: str, source: object) -> None:
    """Refuse values that are not those of the fields of `kind`; `prefix` stands before their names."""
    defaults = {item.name: getattr(kind(), item.name) for item in dataclasses.fields(kind)}
    if not isinstance(values, Mapping) or values.keys() != defaults.keys():
        raise RunError(f"{source}: values.json holds other counters than expected; damaged or foreign.")
    for name, value in values.items():
        default = defaults[name]
        if isinstance(default, Sums) or (default is None and value is None):
            continue
        whole = isinstance(default, int) or name == "best_step"
        least = 1 if name == "epoch_length" else 0
        if not (type(value) is int and least <= value < 2**63 if whole else _is_finite(value)):
            raise RunError(
                f"{source}: values.json: counters.{prefix}{name} is {quoted(value)}, not a number it can be; damaged."
            )


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max
