"""Heads: how the symbols of a step are distributed, given what the last layer says.

N positions, B batch, T time, E embedding, I input, V vocabulary (or keys).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from recurra.layers.output import binary_cross_entropy, cross_entropy, sampled_cross_entropy

Distribution = Literal["categorical", "bernoulli"]


@dataclass(frozen=True)
class Categorical:
    """One of V symbols at each step, given as its id; -1 stands for the zero vector with which a sequence starts.

        head = Categorical()
        loss = head.loss(hidden, weight, bias, targets, training=True)

    Attributes:
        sampled_softmax: in training, estimate the loss from so many sampled symbols; None: exactly.
    """

    name: ClassVar[Distribution] = "categorical"

    sampled_softmax: int | None = None

    def embed(self, inputs: Tensor, embedding: Tensor | None, size: int, dtype: torch.dtype) -> Tensor:
        """The vectors `[..., I]` of ids `[...]`: rows of the embedding `[V, E]`, or one-hot without one."""
        known = inputs.clamp(min=0)
        if embedding is None:
            vectors = functional.one_hot(known, size).to(dtype)
        else:
            vectors = functional.embedding(known, embedding)
        return vectors.masked_fill((inputs < 0).unsqueeze(-1), 0.0)

    def log_probs(self, logits: Tensor) -> Tensor:
        """The log-probability `[..., V]` of each symbol."""
        return torch.log_softmax(logits, dim=-1)

    def loss(self, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, training: bool) -> Tensor:
        """The sum of nats over positions: `hidden` [N, H], `targets` [N]."""
        if training and self.sampled_softmax:
            return sampled_cross_entropy(hidden, weight, bias, targets, self.sampled_softmax)
        return cross_entropy(hidden, weight, bias, targets)


@dataclass(frozen=True)
class Bernoulli:
    """Each of V keys on or off by itself, given as 0 and 1; all off is the vector with which a sequence starts."""

    name: ClassVar[Distribution] = "bernoulli"

    def embed(self, inputs: Tensor, embedding: Tensor | None, size: int, dtype: torch.dtype) -> Tensor:
        """The vectors `[..., I]` of sets `[..., V]`: the sum of what is on, embedded, or the sets."""
        values = inputs.to(dtype)
        return values if embedding is None else values @ embedding

    def log_probs(self, logits: Tensor) -> Tensor:
        """The log-probability `[..., V]` of each key being on."""
        return functional.logsigmoid(logits)

    def loss(self, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, training: bool) -> Tensor:
        """The sum of nats over positions and keys: `hidden` [N, H], `targets` [N, V]."""
        return binary_cross_entropy(hidden, weight, bias, targets)


Head = Categorical | Bernoulli
