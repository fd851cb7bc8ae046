"""The decoder of an encoder–decoder: how embedding, recurrent layers, attention and readout are wired.

B batch (R rows in decoding), T target steps, E embedding, H hidden, M memory, F features, Tx source length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from recurra.cells import Cell
from recurra.contracts import State
from recurra.layers.attention import Attention, Memory
from recurra.layers.attention_steps import Attend
from recurra.layers.dropout import dropout
from recurra.layers.recurrent import Recurrent
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.settings import filled


class Steps(Protocol):
    """Recurrent layers one step at a time: `Recurrent.streaming()` or `Recurrent.unroll()`."""

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The output and the new state."""
        ...


@dataclass(frozen=True)
class DecoderState:
    """What a decoder carries from one target symbol to the next.

    Attributes:
        states: of the layers below the attention, and of those above it where there are any.
        fed_back: the features `[B, F]` before, where they are fed back.
    """

    states: tuple[State, ...]
    fed_back: Tensor | None = None

    def select(self, rows: Tensor) -> DecoderState:
        """The given rows."""
        fed_back = None if self.fed_back is None else self.fed_back.index_select(0, rows)
        return DecoderState(tuple(state.select(rows) for state in self.states), fed_back)


class Decoder(nn.Module):
    """Recurrent layers over the target that look at the source by attention.

        none      h_t = layers(y_{t−1})                            (Sutskever 2014)
        bahdanau  c_t = attention(h_{t−1}), h_t = layers([y_{t−1}, c_t])
                                                                   (Bahdanau 2015, section 3.1)
        luong     h_t = layers(y_{t−1}), or layers([y_{t−1}, f_{t−1}]) with input feeding;
                  c_t = attention(h_t)                             (Luong 2015, sections 3 and 3.3)
        gnmt      b_t = bottom layer(y_{t−1}), c_t = attention(b_t), h_t = upper layers([b_t, c_t])
                                                                   (Wu 2016, section 3; its own layer gives the query)

    What the output layer sees are the features f_t = tanh(W [h_t, c_t] + b) (Luong 2015, equation 5); with
    `bahdanau` f_t = tanh(W [h_t, c_t, y_{t−1}] + b), its deep output with tanh in place of maxout; with `none`
    W h_t only.

    Args:
        cell: of every layer.
        config: of the whole model; E, H, M, the wiring, its energies and its dropout are read.
        features: F.
        options: further arguments of `Recurrent`.
    """

    def __init__(
        self, cell: type[Cell], config: EncoderDecoderConfig, features: int, options: dict[str, Any]
    ) -> None:
        super().__init__()
        config = filled(config)
        self.wiring, self.input_feeding, self.dropout = config.attention, config.input_feeding, config.dropout
        self.features = features
        hidden_size, memory_size = config.hidden_size, config.memory_size
        below = 1 if self.wiring == "gnmt" else config.num_layers
        width = config.embedding_size
        if self.wiring == "bahdanau":
            width += memory_size
        elif self.input_feeding:
            width += features
        sizes = [(width, below)]
        if self.wiring == "gnmt":
            sizes.append((hidden_size + memory_size, config.num_layers - 1))
        self.layers = nn.ModuleList(
            Recurrent(cell, size, hidden_size, depth, dropout=self.dropout if depth > 1 else 0.0, **options)
            for size, depth in sizes
        )
        self.attention = (
            None
            if self.wiring == "none"
            else Attention(config.attention_energy, hidden_size, memory_size, config.attention_size)
        )
        read = hidden_size + (memory_size if self.attention else 0)
        read += config.embedding_size if self.wiring == "bahdanau" else 0
        self.readout = nn.Linear(read, features)
        nn.init.xavier_uniform_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    def extra_repr(self) -> str:  # noqa: D102
        fed = ", input feeding" if self.input_feeding else ""
        return f"attention: {self.wiring}{fed}, dropout={self.dropout}"

    @property
    def feeds_back(self) -> bool:
        """Whether a step's input depends on what the step before gave, so that it must go step by step."""
        return self.wiring == "bahdanau" or self.input_feeding

    def _layers(self, index: int) -> Recurrent:
        layers = self.layers[index]
        assert isinstance(layers, Recurrent)
        return layers

    def start(self, state: State) -> DecoderState:
        """What is carried into the first step, from the states of all layers."""
        states, first = [], 0
        for layers in self.layers:
            assert isinstance(layers, Recurrent)
            states.append(State(state.layers[first : first + layers.num_layers]))
            first += layers.num_layers
        if not self.input_feeding:
            return DecoderState(tuple(states))
        weight = self.readout.weight
        return DecoderState(tuple(states), weight.new_zeros(state.batch_size, self.features))

    def forward(
        self, embedded: Tensor, carried: DecoderState, memory: Memory | None, lengths: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The features `[B, T, F]` of whole targets, and the attention `[B, T, Tx]`, where nothing is fed back.

        Args:
            embedded: `[B, T, E]`, at each step the symbol before.
            carried: what `start` gives.
            memory: of the B sources; None without attention.
            lengths: of the targets, `[B]`.
        """
        context = weights = None
        h, _ = self._layers(0)(embedded, carried.states[0], lengths)
        if self.attention is not None:
            assert memory is not None
            context, weights = self.attention(h, memory)
        if self.wiring == "gnmt":
            assert context is not None
            h, _ = self._layers(1)(self._between(h, context), carried.states[1], lengths)
        return self._read(h, context, embedded), weights

    def step(
        self, embedded: Tensor, carried: DecoderState, attend: Attend | None, steps: Sequence[Steps]
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """The features `[B, F]` of one target symbol, the attention `[B, Tx]`, and what is carried on.

        Args:
            embedded: the symbol before, `[B, E]`.
            carried: from the step before, or `start`.
            attend: attention over each row's source; None without.
            steps: of the layers below the attention, and of those above it where there are any.
        """
        context = weights = None
        x = embedded
        if self.wiring == "bahdanau":
            assert attend is not None
            top = carried.states[0].layers[-1][0]
            context, weights = attend(next(iter(top.values())))
            x = torch.cat([embedded, context], dim=-1)
        elif carried.fed_back is not None:
            x = torch.cat([embedded, carried.fed_back], dim=-1)
        h, below = steps[0].step(x, carried.states[0])
        states: tuple[State, ...] = (below,)
        if attend is not None and context is None:
            context, weights = attend(h)
        if self.wiring == "gnmt":
            assert context is not None
            h, above = steps[1].step(self._between(h, context), carried.states[1])
            states = (below, above)
        features = self._read(h, context, embedded)
        return features, weights, DecoderState(states, features if self.input_feeding else None)

    def _between(self, h: Tensor, context: Tensor) -> Tensor:
        """What the upper layers of `gnmt` read."""
        return dropout(torch.cat([h, context], dim=-1), self.dropout, self.training)

    def _read(self, h: Tensor, context: Tensor | None, embedded: Tensor) -> Tensor:
        parts = [h] if context is None else [h, context]
        if self.wiring == "bahdanau":
            parts.append(embedded)
        read = self.readout(torch.cat(parts, dim=-1) if len(parts) > 1 else h).tanh()
        return dropout(read, self.dropout, self.training)
