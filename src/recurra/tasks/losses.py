"""The loss of a model over batches, as every task's evaluation needs it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from recurra.contracts import Batch
from recurra.layers.mode import evaluating


@torch.no_grad()
def summed_loss(model: nn.Module, batches: Iterable[Batch]) -> tuple[float, int]:
    """The sum of nats over batches and the number of targets, in evaluation mode, the state carried where it continues.

    Args:
        model: called with a batch and a state, it returns loss, count and state.
        batches: in their order.
    """
    device = next(model.parameters()).device
    total, count, state = 0.0, 0, None
    with evaluating(model):
        for batch in batches:
            loss, number, state = model(batch.to(device), state if batch.continues else None)
            total += float(loss)
            count += number
    return total, count
