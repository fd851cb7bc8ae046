"""Job: what is trained, on what, and how it is judged. Settings: how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from recurra.contracts import Batch
from recurra.metrics.evaluation import Evaluation
from recurra.settings import fields_of, keys_with
from recurra.training.config import PARTS, FitConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig


@dataclass(frozen=True)
class StartingLoss:
    """What training starts from.

    Attributes:
        loss: nats per token, on a part of the validation data.
        tokens: how many tokens it is the mean over.
        tokens_in_all: how many tokens an evaluation reads.
    """

    loss: float
    tokens: int
    tokens_in_all: int


class Job(Protocol):
    """What the training loop sees of a task."""

    @property
    def model(self) -> nn.Module:
        """What is trained: called with a batch and a state, it returns the loss in nats, the count and a state.

        The loss is the sum over the batch's targets, the count is `batch.tokens`, and the state (a `State` or None)
        is carried into the next batch where that one continues this one.
        """
        ...

    def batches(self, epoch: int) -> Sequence[Batch]:
        """The batches of an epoch (0, 1, ...): a pure function of the seed and the epoch."""
        ...

    def evaluate(self) -> Evaluation:
        """The loss and scores on the validation data.

        Its `criterion` is the number that is to fall: it decides which weights are the best, when patience ends and
        when a plateau is reached. Called in evaluation mode and without gradients.
        """
        ...

    def starting_loss(self) -> StartingLoss:
        """The loss on a part of the validation data that is quickly read; called as `evaluate`, before training."""
        ...


@dataclass(frozen=True)
class Settings:
    """All that a run is trained by.

    Attributes:
        training, optimiser, schedule: its configuration.
        fingerprint: digests by name (data files, the cell's program); resuming with another one is refused.
        environment: facts by name (the backend); a changed one is reported on stderr.
        evaluation: what else the configuration says of how outputs are judged, by dotted key; where a resumed run
            changes it, its best weights are judged again.
    """

    training: FitConfig
    optimiser: OptimiserConfig
    schedule: ScheduleConfig
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Every configuration value by its dotted key, but for files, whose paths may change."""
        values = {
            f"{part}.{key}": list(value) if isinstance(value, tuple) else value
            for part in PARTS
            for key, value in asdict(getattr(self, part)).items()
            if key not in keys_with(type(getattr(self, part)), "files")
        }
        return {**values, **self.evaluation}

    def fixed(self) -> dict[str, str]:
        """Why a resumed run must keep them, by the dotted keys that it must keep."""
        return {
            f"{part}.{key}": str(field.metadata["fixed"])
            for part in PARTS
            for key, field, _ in fields_of(type(getattr(self, part)))
            if field.metadata.get("fixed")
        }

    def facts(self, device: torch.device) -> dict[str, str]:
        """What results may depend on besides the configuration."""
        threads = self.training.threads or torch.get_num_threads()
        here = {"torch": str(torch.__version__), "threads": str(threads), "device": device.type}
        return {**here, **self.environment}
