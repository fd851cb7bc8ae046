"""Evaluations during training: in evaluation mode, without gradients, and without a trace in what is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from recurra.metrics.evaluation import Evaluation
from recurra.training.config import FitConfig
from recurra.training.counters import EVALUATION_SHARE, Counters
from recurra.training.denormals import FlushDenormals
from recurra.training.interrupt import Interrupt
from recurra.training.job import Job, StartingLoss
from recurra.training.resume import apply_weights, model_tensors, pack_generators, unpack_generators
from recurra.training.update import Updater

NOTED_SECONDS = 30.0  # how long a run takes before it is noted that its evaluations take much of its time

Found = TypeVar("Found")


class Judge:
    """Evaluates a job's model while it is trained."""

    def __init__(self, job: Job, updater: Updater, flush: FlushDenormals, interrupt: Interrupt) -> None:
        self._job, self._updater = job, updater
        self._flush, self._interrupt = flush, interrupt
        self._noted = False

    def evaluate(self, weights: Mapping[str, Tensor] | None = None) -> Evaluation:
        """The loss and scores with the present weights, or with others, which are taken out again.

        Raises:
            Interrupted: a signal came; the evaluation is to be made again, with the same random numbers.
            RunError: the weights do not fit.
        """
        if weights is None:
            return self._found(self._job.evaluate)
        model = self._updater.model
        present = {name: tensor.clone() for name, tensor in model_tensors(model).items()}
        try:
            apply_weights(model, weights, "the best weights")
            return self._found(self._job.evaluate)
        finally:
            apply_weights(model, present, "the present weights")

    def starting_loss(self) -> StartingLoss:
        """The loss on a part of the validation data.

        Raises:
            Interrupted: a signal came.
        """
        return self._found(self._job.starting_loss)

    def _found(self, find: Callable[[], Found]) -> Found:
        device, model = self._updater.device, self._updater.model
        generators = pack_generators(device)
        model.eval()
        try:
            # Denormal numbers as in `recurra evaluate`.
            with torch.no_grad(), self._flush.suspended(), self._interrupt.breaking():
                return find()
        finally:
            unpack_generators(device, generators, "the generators before the evaluation")
            model.train()

    def note(self, config: FitConfig, counters: Counters, elapsed: float) -> str:
        """What to say, once, where evaluations at intervals that nobody has set take much of the time.

        Under a limit in minutes fewer are made instead; under others, where they are must not depend on a clock.
        """
        if self._noted or config.evaluate_every is not None or config.minutes is not None:
            return ""
        if elapsed < NOTED_SECONDS or counters.evaluating_seconds <= EVALUATION_SHARE * elapsed:
            return ""
        self._noted = True
        share = counters.evaluating_seconds / elapsed
        return f"note: evaluations take {share:.0%} of the time; training.evaluate_every sets how many there are."
