"""Encoder–decoder: a sequence → another sequence of any length, by recurrent layers with or without attention.

B batch, S sources, Tx source length, Ty target length, E embedding, H hidden, M memory, F features, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells import Cell, resolve, with_initial_bias
from recurra.contracts import Batch, State
from recurra.layers.attention import Memory
from recurra.layers.attention_steps import attend_by_steps
from recurra.layers.recurrent import Recurrent
from recurra.models.decoder import Decoder, DecoderState, Steps
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.models.translation_model import TranslationModel, source_of, symbols_before
from recurra.models.translator_stepper import TranslatorStepper
from recurra.settings import filled


class EncoderDecoder(TranslationModel):
    """Embeddings, an encoder over the source, a bridge of states, a decoder over the target, an output layer.

    A target starts with a zero input vector, and EOS ends it.

    Args:
        config: sizes and options.
        source_size: symbols of the source's vocabulary.
        target_size: V, of the target's.
        joint: both vocabularies are the same one.
        cell: the cell's class, where it is not one of those built in.

    Raises:
        ConfigError, ShapeError, CellError, BackendError: as `Recurrent` and `Attention`; `tied` takes another
            vocabulary.
    """

    def __init__(
        self,
        config: EncoderDecoderConfig,
        source_size: int,
        target_size: int,
        joint: bool = False,
        cell: type[Cell] | None = None,
    ) -> None:
        config = filled(config)
        size = config.embedding_size
        features = config.hidden_size if config.tied == "none" else size
        super().__init__(config, source_size, target_size, joint, size, features)
        cell = with_initial_bias(cell or resolve(config.cell), config.initial_bias or {})
        options: dict[str, Any] = {"regularisation": config.regularisation, "backend": config.backend}
        between = config.dropout if config.encoder_depth > 1 else 0.0
        self.encoder = Recurrent(
            cell,
            size,
            config.encoder_width,
            config.encoder_depth,
            bidirectional=config.bidirectional,
            dropout=between,
            **options,
        )
        self.decoder = Decoder(cell, config, features, options)
        self.bridges = nn.ModuleDict()
        if config.bridge == "learned":
            for name in cell.state:
                self.bridges[name] = nn.ModuleList(
                    nn.Linear(config.memory_size, config.hidden_size) for _ in range(config.num_layers)
                )
        self.draw_weights()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Embeddings normal with deviation 1/√E where tied, otherwise 1; output and bridge by Glorot, biases 0."""
        super().reset_parameters()
        for layers in self.bridges.values():
            for layer in layers:  # type: ignore[attr-defined]
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    # --- parts ------------------------------------------------------------------------------------

    @property
    def shows_attention(self) -> bool:
        """Whether there is any."""
        return self.decoder.attention is not None

    def embed_source(self, ids: Tensor) -> Tensor:
        """What the encoder reads: `[S, Tx, E]` for ids `[S, Tx]`."""
        return self.dropped(self.source_vectors(ids))

    def embed_target(self, ids: Tensor) -> Tensor:
        """What the decoder reads: `[..., E]` for ids `[...]`, -1 being the zero vector."""
        return self.dropped(self.target_vectors(ids))

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory | None, DecoderState]:
        """What is attended to, and what the decoder starts from.

        Args:
            source: ids `[S, Tx]`.
            lengths: `[S]`.
        """
        outputs, state = self.encoder(self.embed_source(source), lengths=lengths)
        attention = self.decoder.attention
        memory = None if attention is None else attention.memory(outputs, lengths)
        return memory, self.decoder.start(self._bridge(state, source.shape[0]))

    def _bridge(self, state: State, rows: int) -> State:
        """The decoder's first state; of unequal depths the top layers correspond."""
        names = tuple(state.layers[0][0])
        depth, encoder_depth = self.config.num_layers, self.config.encoder_depth
        layers = []
        for layer in range(depth):
            source = state.layers[max(0, layer + encoder_depth - depth)]
            last = {name: torch.cat([direction[name] for direction in source], dim=-1) for name in names}
            if self.config.bridge == "zero":
                first = {name: value.new_zeros(rows, self.config.hidden_size) for name, value in last.items()}
            elif self.config.bridge == "last":
                first = last
            else:
                first = {name: self.bridges[name][layer](last[name]).tanh() for name in names}  # type: ignore[index]
            layers.append((first,))
        return State(tuple(layers))

    # --- training ---------------------------------------------------------------------------------

    def features(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The features `[B, Ty, F]` that the output layer sees, and the attention `[B, Ty, Tx]`."""
        memory, carried = self.encode(*source_of(batch))
        assert batch.targets is not None
        assert batch.target_lengths is not None
        inputs = symbols_before(batch.targets)
        sampled = self.training and self.config.scheduled_sampling > 0
        if self.decoder.feeds_back or sampled:
            return self._unrolled(inputs, memory, carried)
        return self.decoder(self.embed_target(inputs), carried, memory, batch.target_lengths)

    def _unrolled(
        self, inputs: Tensor, memory: Memory | None, carried: DecoderState
    ) -> tuple[Tensor, Tensor | None]:
        """What `Decoder.forward` gives, step by step."""
        steps = [layers.unroll() for layers in self.decoder.layers]  # type: ignore[operator]
        attention = self.decoder.attention
        attend = None if attention is None or memory is None else attend_by_steps(attention, memory)
        sampling = self.config.scheduled_sampling if self.training else 0.0
        # Unbound at once: the gradient of a slice is as large as the whole.
        embedded = None if sampling else self.embed_target(inputs).unbind(1)
        features: list[Tensor] = []
        weights: list[Tensor] = []
        for t in range(inputs.shape[1]):
            if embedded is not None:
                x = embedded[t]
            else:
                x = self.embed_target(self._scheduled(inputs[:, t], features, sampling))
            feature, weight, carried = self.decoder.step(x, carried, attend, steps)
            features.append(feature)
            if weight is not None:
                weights.append(weight)
        return torch.stack(features, dim=1), torch.stack(weights, dim=1) if weights else None

    @torch.no_grad()
    def _scheduled(self, symbols: Tensor, features: list[Tensor], share: float) -> Tensor:
        """The symbols before, each with probability `share` one that the model itself draws."""
        if not features:
            return symbols
        drawn = torch.multinomial(self.log_probs(features[-1]).exp(), 1)[:, 0]
        return torch.where(torch.rand(symbols.shape, device=symbols.device) < share, drawn, symbols)

    def layers(self, batch: Batch) -> list[tuple[str, Recurrent, Tensor, Tensor | None]]:
        """The encoder, and the decoder's layers below and above the attention, as they read this batch."""
        source, lengths = source_of(batch)
        stacks: list[tuple[str, Recurrent, Tensor, Tensor | None]] = [
            ("encoder", self.encoder, self.embed_source(source), lengths)
        ]
        if batch.targets is None:
            return stacks
        memory, state = self.encode(source, lengths)
        read = self._decoder_inputs(symbols_before(batch.targets), memory, state)
        names = ("decoder",) if len(read) == 1 else ("decoder bottom", "decoder top")
        for name, layers, x in zip(names, self.decoder.layers, read, strict=True):
            assert isinstance(layers, Recurrent)
            stacks.append((name, layers, x, batch.target_lengths))
        return stacks

    def _decoder_inputs(self, inputs: Tensor, memory: Memory | None, state: DecoderState) -> list[Tensor]:
        """What each stack of the decoder reads, `[B, Ty, I]` each, step by step."""
        steps = [_Recording(layers.unroll()) for layers in self.decoder.layers]  # type: ignore[operator]
        attention = self.decoder.attention
        attend = None if attention is None or memory is None else attend_by_steps(attention, memory)
        for x in self.embed_target(inputs).unbind(1):
            _, _, state = self.decoder.step(x, state, attend, steps)
        return [torch.stack(one.read, dim=1) for one in steps]

    def stepper(self, batch: Batch, weights: str | None = None) -> TranslatorStepper:
        """The model as decoding sees it, bound to the sources of a batch; `weights` as in `Recurrent.streaming`."""
        return TranslatorStepper(self, *source_of(batch), weights)


class _Recording:
    """Layers one step at a time that keep what they read."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.read: list[Tensor] = []

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The output and the new state."""
        self.read.append(x_t)
        return self._steps.step(x_t, state)
