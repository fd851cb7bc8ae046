"""The learning rate over a run: warm-up, then a shape over the run's progress.

Progress is the largest share used up of any limit of the run: updates, epochs or elapsed minutes. So
under a limit in minutes, `linear` and `cosine` are schedules in elapsed time, and reach their end when
the time is up, however fast the machine is. A run whose limit is changed counts its progress over the new limit
from then on: resumed at the end of 3 minutes to go on to 10, it has the rate of 30 % of a run of 10 minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from recurra.errors import RunError
from recurra.settings import AUTO, check, filled, setting


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes (keys `schedule.*`).

    Attributes:
        name: constant; linear or cosine, from the full rate down to `final`; step, multiplied by `factor` at
            intervals of `every` epochs; plateau, multiplied by `factor` when `patience` evaluations were no better
            than the best.
        warmup_steps: updates over which the rate rises linearly from 0, with any schedule.
        final: of linear and cosine, the share of the rate at the end, in [0, 1].
        factor: of step and plateau, in (0, 1].
        patience: of plateau, in evaluations.
        every: of step, in epochs.
    """

    name: Literal["constant", "linear", "cosine", "plateau", "step"] = "cosine"
    warmup_steps: int = setting(AUTO, at_least=0, auto=50)
    final: float = setting(0.0, at_least=0, at_most=1)
    factor: float = setting(0.1, above=0, at_most=1)
    patience: int = setting(2, at_least=1)
    every: float = setting(5.0, above=0)

    def __post_init__(self) -> None:
        check(self, "schedule")


class Schedule:
    """The schedule of one run; only `plateau` has anything to remember."""

    def __init__(self, config: ScheduleConfig) -> None:
        self.config = filled(config)
        self.scale = 1.0
        self.best: float | None = None
        self.evaluations_since_best = 0

    def factor(self, step: int, epoch: float, progress: float) -> float:
        """What the learning rate is multiplied with in the update that is about to be made.

        Args:
            step: updates made before it.
            epoch: epochs made before it, with their fraction.
            progress: share of the run used up before it, in [0, 1].
        """
        config = self.config
        warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
        if config.name in ("linear", "cosine"):
            left = 1.0 - min(max(progress, 0.0), 1.0)
            share = left if config.name == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)
            return warmup * (config.final + (1.0 - config.final) * share)
        if config.name == "step":
            return warmup * config.factor ** math.floor(epoch / config.every)
        return warmup * self.scale

    def evaluated(self, criterion: float) -> None:
        """Take note of an evaluation: the number that is to fall."""
        if self.config.name != "plateau":
            return
        if self.best is None or criterion < self.best:
            self.best, self.evaluations_since_best = criterion, 0
            return
        self.evaluations_since_best += 1
        if self.evaluations_since_best >= self.config.patience:
            self.scale *= self.config.factor
            self.evaluations_since_best = 0

    def judged_anew(self, criterion: float) -> None:
        """The best evaluation so far has this number that is to fall from now on, as it is made otherwise."""
        if self.best is not None:
            self.best, self.evaluations_since_best = criterion, 0

    def pack(self) -> dict[str, Any]:
        """What `unpack` needs to continue, as plain values."""
        return {"scale": self.scale, "best": self.best, "evaluations_since_best": self.evaluations_since_best}

    def unpack(self, values: dict[str, Any], source: object) -> None:
        """Go on from packed values.

        Raises:
            RunError: they are damaged.
        """
        try:
            best = values["best"]
            self.scale, self.evaluations_since_best = (
                float(values["scale"]),
                int(values["evaluations_since_best"]),
            )
            self.best = None if best is None else float(best)
            if not (0.0 <= self.scale <= 1.0 and math.isfinite(self.best or 0.0)):
                raise ValueError("a number out of its range")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RunError(f"{source}: the schedule's values are damaged ({error}).") from error
