"""Several models in the place of one: decoding by the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from recurra.contracts import Batch, State, Stepper
from recurra.decode.ensemble import Ensemble


class EnsembleModel(nn.Module):
    """Models whose probabilities are averaged at each step of decoding; the loss is that of the first.

    Args:
        models: at least one, of the same vocabularies, each with `stepper(batch)`.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)

    @property
    def shows_attention(self) -> bool:
        """Whether any of them shows attention: the ensemble's is the mean over those that do."""
        return any(getattr(model, "shows_attention", False) for model in self.models)

    def forward(self, batch: Batch, state: State | None = None) -> Any:
        """The first model's loss, count and state."""
        return self.models[0](batch, state)

    def layers(self, batch: Batch) -> Any:
        """The first model's recurrent layers."""
        return self.models[0].layers(batch)  # type: ignore[operator]

    def stepper(self, batch: Batch) -> Stepper:
        """The mean of all models, bound to the inputs of a batch."""
        return Ensemble([model.stepper(batch) for model in self.models])  # type: ignore[operator]
