"""Job: what is trained, on what, and how it is judged. Settings: how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from recurra.contracts import Batch
from recurra.metrics.evaluation import Evaluation
from recurra.settings import keys_with
from recurra.training.config import FitConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig


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


@dataclass(frozen=True)
class Settings:
    """All that a run is trained by.

    Attributes:
        training, optimiser, schedule: its configuration.
        fingerprint: digests by name (data files, the cell's program); resuming with another one is refused.
        environment: facts by name (the backend); a changed one is reported on stderr.
    """

    training: FitConfig
    optimiser: OptimiserConfig
    schedule: ScheduleConfig
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Every configuration value by its dotted key."""
        return {
            f"{part}.{key}": list(value) if isinstance(value, tuple) else value
            for part in ("training", "optimiser", "schedule")
            for key, value in asdict(getattr(self, part)).items()
        }

    def fixed(self) -> set[str]:
        """The dotted keys that a resumed run must keep."""
        return {
            f"{part}.{key}"
            for part in ("training", "optimiser", "schedule")
            for key in keys_with(type(getattr(self, part)), "fixed")
        }

    def facts(self, device: torch.device) -> dict[str, str]:
        """What results may depend on besides the configuration."""
        threads = self.training.threads or torch.get_num_threads()
        here = {"torch": str(torch.__version__), "threads": str(threads), "device": device.type}
        return {**here, **self.environment}
