"""Attention: what a decoder looks at of its source, as a weighted sum over the source's positions.

S sources, K queries per source, Tx source length, M memory, Q query, A width of the energies' hidden layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recurra.cells.drawing import is_drawing
from recurra.engine.additive import additive_energies
from recurra.errors import ConfigError, nearest
from recurra.layers.names import ENERGIES


@dataclass(frozen=True)
class Memory:
    """What is attended to, computed once per source.

    Attributes:
        values: `[S, Tx, M]`, of which the context is the weighted sum.
        keys: `[S, Tx, M]`, `[S, Tx, Q]` or `[S, Tx, A]`, what queries are compared with.
        padding: `[S, Tx]`, true past a source's length.
    """

    values: Tensor
    keys: Tensor
    padding: Tensor

    def select(self, sources: Tensor) -> Memory:
        """The memory of the given sources `[S']`."""
        return Memory(*(one.index_select(0, sources) for one in (self.values, self.keys, self.padding)))


class Attention(nn.Module):
    """Energies between a query q and every memory m, a softmax over the source, and the weighted sum.

        dot              q · m                            (Luong 2015, section 3.1)
        scaled           q · m / √M                       (Vaswani 2017, equation 1)
        general          q · W m                          (Luong 2015)
        additive         v · tanh(W q + U m + b)          (Bahdanau 2015, appendix A.1.2)
        normed_additive  g v / ‖v‖ · tanh(W q + U m + b)  (weight normalisation of v, Salimans & Kingma 2016)

    Args:
        energy: one of these.
        query_size: Q.
        memory_size: M.
        size: A, of the additive energies; None: Q.

    Raises:
        ConfigError: there is no such energy, the widths of a plain product differ, or a size touches nothing.
    """

    def __init__(self, energy: str, query_size: int, memory_size: int, size: int | None = None) -> None:
        super().__init__()
        if energy not in ENERGIES:
            raise ConfigError(
                f"energy: expected one of {', '.join(ENERGIES)}, got {energy!r}.{nearest(energy, ENERGIES)}"
            )
        self.energy = energy
        self.additive = energy.endswith("additive")
        if size is not None and not self.additive:
            raise ConfigError(f"attention_size: energy {energy!r} has no hidden layer; leave it out.")
        if energy in ("dot", "scaled") and query_size != memory_size:
            raise ConfigError(
                f"energy: {energy!r} multiplies queries and memories as they are, but these are {query_size} and "
                f"{memory_size} wide; use 'general', or make both sides of the model equally wide."
            )
        self.query_weight = self.key_bias = self.score = self.gain = None
        if energy in ("dot", "scaled"):
            self.key_weight = None
            return
        width = (size or query_size) if self.additive else query_size
        self.key_weight = nn.Parameter(torch.empty(width, memory_size))
        if self.additive:
            self.query_weight = nn.Parameter(torch.empty(width, query_size))
            self.key_bias = nn.Parameter(torch.zeros(width))
            self.score = nn.Parameter(torch.empty(width))
        if energy == "normed_additive":
            self.gain = nn.Parameter(torch.tensor(width**-0.5))
        if is_drawing():
            self.reset_parameters()

    def extra_repr(self) -> str:  # noqa: D102
        key, query = self.key_weight, self.query_weight
        width = "" if key is None else f", keys {key.shape[1]} -> {key.shape[0]}"
        of_query = "" if query is None else f", queries {query.shape[1]} -> {query.shape[0]}"
        return f"{self.energy}{width}{of_query}"

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Weights by Glorot; v uniform in ±1/√A, g = 1/√A, b = 0."""
        for weight in (self.key_weight, self.query_weight):
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        if self.score is not None:
            bound = self.score.shape[0] ** -0.5
            self.score.uniform_(-bound, bound)

    def memory(self, values: Tensor, lengths: Tensor | None) -> Memory:
        """What `forward` attends to.

        Args:
            values: `[S, Tx, M]`.
            lengths: `[S]`, each from 1 to Tx; None where every source is Tx long.
        """
        keys = (
            values
            if self.key_weight is None
            else nn.functional.linear(values, self.key_weight, self.key_bias)
        )
        steps = torch.arange(values.shape[1], device=values.device)
        if lengths is None:
            padding = torch.zeros(values.shape[:2], dtype=torch.bool, device=values.device)
        else:
            padding = steps >= lengths[:, None]
        return Memory(values, keys, padding)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The context `[S, K, M]` and the weights `[S, K, Tx]`, which sum to 1 and are 0 on padding.

        Args:
            query: `[S, K, Q]`.
            memory: of the S sources.
        """
        energies = self._energies(query, memory).masked_fill(memory.padding.unsqueeze(1), -torch.inf)
        weights = torch.softmax(energies, dim=-1)
        return torch.bmm(weights, memory.values), weights

    def scale(self, keys: Tensor) -> float:
        """What products of queries and keys are multiplied with."""
        return float(keys.shape[-1]) ** -0.5 if self.energy == "scaled" else 1.0

    @property
    def unit_score(self) -> Tensor:
        """What the hidden units of additive energies are weighted with, `[A]`."""
        assert self.score is not None
        return self.score if self.gain is None else self.gain * self.score / self.score.norm()

    def _energies(self, query: Tensor, memory: Memory) -> Tensor:
        """`[S, K, Tx]`; what they are on padding means nothing."""
        keys = memory.keys
        if not self.additive:
            return torch.bmm(query * self.scale(keys), keys.mT)
        assert self.query_weight is not None
        projected = nn.functional.linear(query, self.query_weight)
        if not torch.is_grad_enabled():
            return additive_energies(projected, keys, memory.padding, self.unit_score)
        return (projected.unsqueeze(2) + keys.unsqueeze(1)).tanh() @ self.unit_score
