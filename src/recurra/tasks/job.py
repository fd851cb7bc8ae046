"""What the training loop sees of a task: its model, its batches, its validation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from recurra.contracts import Batch
from recurra.data.dataset import Dataset
from recurra.metrics.evaluation import Evaluation
from recurra.tasks.losses import summed_loss
from recurra.tasks.task import AnyTask
from recurra.training.job import StartingLoss

STARTING_TOKENS = 5000
"""How much of the validation data the loss before the first update is taken over, at least where there is as much."""


class TaskJob:
    """The job of any task: a `training.job.Job`.

    Args:
        task, model, config: of the run.
        data: what it learns from and is judged on.
    """

    def __init__(self, task: AnyTask, model: nn.Module, data: Dataset[Any], config: Any) -> None:
        self.task, self.model, self.data, self.config = task, model, data, config

    def batches(self, epoch: int) -> Sequence[Batch]:
        """The training batches of one epoch."""
        return self.task.batches(self.data.train, self.config, epoch)

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        """The model on the validation split, as training evaluates."""
        options = self.task.validation_options(self.config)
        return self.task.evaluate(self.model, self.data.valid, self.config, self.data.vocabularies, options)

    def starting_loss(self) -> StartingLoss:
        """The loss on the first batches of the validation split."""
        batches = self.task.batches(self.data.valid, self.config, None)
        counts = [batch.tokens for batch in batches]
        read = list(itertools.accumulate(counts))
        enough = next(
            (number for number, tokens in enumerate(read, 1) if tokens >= STARTING_TOKENS), len(read)
        )
        nats, tokens = summed_loss(self.model, itertools.islice(batches, enough))
        return StartingLoss(nats / max(tokens, 1), tokens, sum(counts))
