"""Optimisers, and clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recurra.training.optimiser_config import OptimiserConfig


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser over a model's trainable parameters, matrices with weight decay, vectors without.

    The fused form runs wherever torch has it: one pass over the weights, several times faster on a CPU.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decay = float(config.weight_decay or 0.0)
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = all(
        p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) for p in parameters
    )
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.rate, momentum=config.momentum, fused=fused)
    adam = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return adam(groups, lr=config.rate, betas=config.betas, fused=fused)


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients together, a tensor without dimensions."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros((), device="cpu")
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))


def clip_by_norm_(parameters: Sequence[Tensor], norm: float, limit: float) -> bool:
    """Rescale all gradients to norm `limit` where their norm exceeds it (Pascanu et al. 2013).

    Args:
        parameters: those with a gradient are scaled.
        norm: what `gradient_norm` said of them.
        limit: above 0.

    Returns:
        Whether they were scaled.
    """
    if norm <= limit:
        return False
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    torch._foreach_mul_(gradients, limit / norm)
    return True


def clip_by_value_(parameters: Sequence[Tensor], limit: float) -> bool:
    """Cut every entry of every gradient to [-limit, limit].

    Returns:
        Whether any was cut.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients or float(torch.stack(torch._foreach_norm(gradients, math.inf)).max()) <= limit:
        return False
    torch._foreach_clamp_min_(gradients, -limit)
    torch._foreach_clamp_max_(gradients, limit)
    return True
