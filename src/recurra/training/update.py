"""One update: windows forward and backward, clipping, and the optimiser's step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from recurra.contracts import Batch, State
from recurra.errors import TrainingError
from recurra.training.config import FitConfig
from recurra.training.device import resolve_device
from recurra.training.job import Job
from recurra.training.optimiser import (
    build_optimiser,
    clip_by_norm_,
    clip_by_value_,
    gradient_norm,
)
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.resume import (
    MODEL,
    model_tensors,
    pack_carried,
    pack_generators,
    pack_optimiser,
    unpack_carried,
    unpack_generators,
    unpack_model,
    unpack_optimiser,
)


class Updater:
    """Changes a job's model: holds the optimiser and the carried state.

    Args:
        job: its model is moved to the device.
        config: device, precision and clipping are read.
        optimiser: which one.
    """

    def __init__(self, job: Job, config: FitConfig, optimiser: OptimiserConfig) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        self.model = job.model.to(self.device)
        self.parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimiser = build_optimiser(self.model, optimiser)
        self.carried: State | None = None

    def update(self, batches: Sequence[Batch], rate: float, step: int) -> tuple[float, int, float, bool]:
        """One step of the optimiser, on the mean per token over all of `batches`.

        Args:
            batches: consecutive windows, whose gradients are accumulated.
            rate: the learning rate.
            step: the update's number, for messages.

        Returns:
            The sum of the losses in nats, the number of tokens, the gradients' norm before clipping, and
            whether it was clipped.

        Raises:
            TrainingError: the loss or the gradients are not finite; the weights are those before.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        tokens = sum(batch.tokens for batch in batches)
        self.optimiser.zero_grad(set_to_none=True)
        losses = [self._backward(batch, tokens) for batch in batches]
        norm = gradient_norm(self.parameters)
        # Both numbers together, since each look at a number waits for the GPU.
        loss_sum, norm_value = torch.stack([torch.stack(losses).sum(), norm.double()]).tolist()
        _check_finite(loss_sum, norm_value, step)
        clipped = self._clip(norm_value)
        self.optimiser.step()
        return loss_sum, tokens, norm_value, clipped

    def _backward(self, batch: Batch, tokens: int) -> Tensor:
        """Add one window's gradients of the mean over `tokens`; returns the sum of its losses."""
        if self.device.type != "cpu":
            batch = batch.to(self.device)
        state = self.carried if batch.continues else None
        with torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bfloat16"
        ):
            loss, _, state = self.model(batch, state)
        (loss / max(tokens, 1)).backward()
        # A copy of its own lies in memory as the resumed one will: matrix products may round by layout.
        self.carried = None if state is None else state.map(_contiguous_copy)
        return loss.detach().double()

    def _clip(self, norm: float) -> bool:
        if self.config.clip_value is not None:
            return clip_by_value_(self.parameters, self.config.clip_value)
        if self.config.clip_norm is not None:
            return clip_by_norm_(self.parameters, norm, self.config.clip_norm)
        return False

    def pack(self) -> dict[str, Tensor]:
        """Weights, optimiser, generators and carried state, by prefixed name."""
        weights = {MODEL + name: tensor for name, tensor in model_tensors(self.model).items()}
        optimiser = pack_optimiser(self.model, self.optimiser)
        return weights | optimiser | pack_generators(self.device) | pack_carried(self.carried)

    def unpack(self, tensors: Mapping[str, Tensor], source: object) -> None:
        """The inverse of `pack`.

        Raises:
            RunError: a tensor is missing, not known, or has another shape.
        """
        unpack_model(self.model, tensors, source)
        unpack_optimiser(self.model, self.optimiser, tensors, source)
        self.carried = unpack_carried(tensors, self.device, source)
        unpack_generators(self.device, tensors, source)


def _check_finite(loss_sum: float, norm: float, step: int) -> None:
    if math.isfinite(loss_sum) and math.isfinite(norm):
        return
    what = f"the loss is {loss_sum}" if not math.isfinite(loss_sum) else f"the gradient's norm is {norm}"
    raise TrainingError(f"step {step}: {what}")


def _contiguous_copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone(memory_format=torch.contiguous_format)
