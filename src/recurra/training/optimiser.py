"""Optimisers, and clipping of gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError
from recurra.training.checks import check_name, check_number

# Learning rate and weight decay that each takes when they are not given.
DEFAULTS = {"adam": (2e-3, 0.0), "adamw": (2e-3, 0.01), "sgd": (1.0, 0.0)}


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights follow gradients (keys `optimiser.*`).

    Attributes:
        name: adam (Kingma & Ba 2015), adamw (decoupled decay; Loshchilov & Hutter 2019) or sgd.
        learning_rate: the highest one, which the schedule scales; default 2e-3, for sgd 1.
        weight_decay: of weight matrices and embeddings; biases, vectors, and norms' gains and shifts do not
            decay. Default 0.01 for adamw, else 0.
        momentum: of sgd, in [0, 1).
        betas: the decay rates of adam's and adamw's two averages, in [0, 1).
    """

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float | None = None
    weight_decay: float | None = None
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        check_name("optimiser.name", self.name, DEFAULTS)
        learning_rate, weight_decay = DEFAULTS[self.name]
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", learning_rate)
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", weight_decay)
        check_number("optimiser.learning_rate", self.learning_rate, "a number above 0", lambda rate: rate > 0)
        check_number("optimiser.weight_decay", self.weight_decay, "0 or more", lambda decay: decay >= 0)
        check_number("optimiser.momentum", self.momentum, "a number in [0, 1)", _is_share)
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise ConfigError(f"optimiser.betas: expected two numbers, got {self.betas!r}.")
        object.__setattr__(self, "betas", tuple(self.betas))
        for beta in self.betas:
            check_number("optimiser.betas", beta, "two numbers in [0, 1)", _is_share)

    @property
    def rate(self) -> float:
        """The learning rate, resolved."""
        return DEFAULTS[self.name][0] if self.learning_rate is None else float(self.learning_rate)


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


def _is_share(value: float) -> bool:
    return 0 <= value < 1
