"""Encoder–decoder: a sequence → another sequence of any length, by recurrent layers with or without attention.

B batch, S sources, Tx source length, Ty target length, E embedding, H hidden, M memory, F features, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.cells import Cell, resolve, with_initial_bias
from recurra.contracts import PairBatch, State
from recurra.engine import CHOICES
from recurra.errors import ConfigError, nearest
from recurra.layers.attention import ENERGIES, Energy, Memory
from recurra.layers.output import cross_entropy
from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation, check_probability
from recurra.models.decoder import WIRINGS, Carried, Decoder, Wiring
from recurra.models.translator_stepper import TranslatorStepper

Bridge = Literal["zero", "last", "learned"]
Tied = Literal["none", "output", "all"]

DEFAULT_ENERGIES = {"bahdanau": "additive", "luong": "general", "gnmt": "general"}


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """What an encoder–decoder is made of (keys `model.*`).

    Attributes:
        cell: of encoder and decoder, a built-in one by name; on the command line also FILE.py:Class.
        hidden_size: width H of every layer of the decoder.
        num_layers: of the decoder; gnmt takes at least 2.
        encoder_hidden_size: width of every layer of the encoder, of each direction; None: so that what is attended
            to is as wide as the decoder, half of it for each direction of a bidirectional encoder.
        encoder_layers: of the encoder; None: as many as the decoder has.
        bidirectional: the encoder reads the source both ways.
        embedding_size: width of the embeddings.
        tied: "output": the output layer's weights are the target's embedding; "all": the source's as well, which
            takes a joint vocabulary; "none".
        attention: none, or the wiring of Bahdanau 2015, Luong 2015 or GNMT (Wu 2016).
        energy: dot, scaled, general, additive or normed_additive; None: additive for bahdanau, else general.
        attention_size: width of the additive energies' hidden layer; None: as wide as the decoder.
        input_feeding: of luong: what the output layer saw is part of the next input.
        bridge: how the decoder's states start: "zero"; "last", with the encoder's last ones, which takes equal
            widths; or "learned", from these by a layer with tanh.
        dropout: on embeddings, between layers and on what the output layer sees, a probability in [0, 1).
        label_smoothing: share of a target's probability that is spread evenly over the vocabulary, in training.
        scheduled_sampling: share of target inputs that in training are drawn from the model's own distribution
            instead of read from the target (Bengio 2015), in [0, 1]; the decoder then goes step by step.
        regularisation: variational dropout, zoneout and weight drop inside the layers of both.
        initial_bias: what gates' biases start with, by gate, where it is not what the cell's class says.
        backend: "auto", or the name of a backend.
    """

    cell: str = "lstm"
    hidden_size: int = 256
    num_layers: int = 1
    encoder_hidden_size: int | None = None
    encoder_layers: int | None = None
    bidirectional: bool = True
    embedding_size: int = 256
    tied: Tied = "none"
    attention: Wiring = "luong"
    energy: Energy | None = None
    attention_size: int | None = None
    input_feeding: bool = False
    bridge: Bridge = "learned"
    dropout: float = 0.2
    label_smoothing: float = 0.1
    scheduled_sampling: float = 0.0
    regularisation: Regularisation = field(default_factory=Regularisation)
    initial_bias: dict[str, float] | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        for name in ("hidden_size", "num_layers", "embedding_size"):
            _check_whole(name, getattr(self, name))
        for name in ("encoder_hidden_size", "encoder_layers", "attention_size"):
            if getattr(self, name) is not None:
                _check_whole(name, getattr(self, name))
        for name in ("dropout", "label_smoothing"):
            check_probability(f"model.{name}", getattr(self, name))
        sampling = self.scheduled_sampling
        if isinstance(sampling, bool) or not isinstance(sampling, int | float) or not 0 <= sampling <= 1:
            raise ConfigError(f"model.scheduled_sampling: expected a share in [0, 1], got {sampling!r}.")
        choices = {
            "tied": get_args(Tied),
            "attention": WIRINGS,
            "bridge": get_args(Bridge),
            "backend": CHOICES,
        }
        if self.energy is not None:
            choices["energy"] = ENERGIES
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"model.{name}: expected one of {', '.join(known)}, got {value!r}.{nearest(str(value), known)}"
                )
        self._check_together()

    def _check_together(self) -> None:
        """Refuse what contradicts another key, or would touch nothing."""
        if self.attention == "none":
            for name in ("energy", "attention_size"):
                if getattr(self, name) is not None:
                    raise ConfigError(f"model.{name}: model.attention is none; leave it out.")
        if self.input_feeding and self.attention != "luong":
            raise ConfigError(
                f"model.input_feeding: belongs to model.attention luong, got {self.attention}; leave it out."
            )
        if self.attention == "gnmt" and self.num_layers < 2:
            raise ConfigError(
                "model.num_layers: gnmt attends between the bottom layer and those above it, so it takes at least "
                f"2, got {self.num_layers}."
            )
        if self.bidirectional and self.encoder_hidden_size is None and self.hidden_size % 2:
            raise ConfigError(
                f"model.hidden_size: {self.hidden_size} cannot be halved for the two directions of the encoder; "
                "give model.encoder_hidden_size."
            )
        memory = self.encoder_width * (2 if self.bidirectional else 1)
        if self.bridge == "last" and memory != self.hidden_size:
            raise ConfigError(
                f"model.bridge: last states are {memory} wide and the decoder {self.hidden_size}; use learned, or "
                "make them equal with model.encoder_hidden_size."
            )

    @property
    def encoder_width(self) -> int:
        """The encoder's hidden size, resolved."""
        if self.encoder_hidden_size is not None:
            return self.encoder_hidden_size
        return self.hidden_size // 2 if self.bidirectional else self.hidden_size

    @property
    def encoder_depth(self) -> int:
        """The encoder's number of layers, resolved."""
        return self.encoder_layers or self.num_layers


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"model.{name}: expected a whole number of at least 1, got {value!r}.")


class EncoderDecoder(nn.Module):
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
        super().__init__()
        if config.tied == "all" and not joint:
            raise ConfigError(
                "model.tied: all takes one vocabulary for both sides; add --data.joint true, or tie the output only."
            )
        self.config = config
        cell = with_initial_bias(cell or resolve(config.cell), config.initial_bias or {})
        size = config.embedding_size
        options: dict[str, Any] = {"regularisation": config.regularisation, "backend": config.backend}
        between = config.dropout if config.encoder_depth > 1 else 0.0
        self.target_embedding = nn.Parameter(torch.empty(target_size, size))
        self.source_embedding = None if config.tied == "all" else nn.Parameter(torch.empty(source_size, size))
        self.encoder = Recurrent(
            cell,
            size,
            config.encoder_width,
            config.encoder_depth,
            bidirectional=config.bidirectional,
            dropout=between,
            **options,
        )
        memory = config.encoder_width * self.encoder.directions
        features = config.hidden_size if config.tied == "none" else size
        energy = config.energy or DEFAULT_ENERGIES.get(config.attention, "general")
        self.decoder = Decoder(
            cell,
            config.attention,
            size,
            config.hidden_size,
            config.num_layers,
            memory,
            features,
            energy,
            config.attention_size,
            config.input_feeding,
            config.dropout,
            options,
        )
        self.bridges = nn.ModuleDict()
        if config.bridge == "learned":
            for name in cell.state:
                self.bridges[name] = nn.ModuleList(
                    nn.Linear(memory, config.hidden_size) for _ in range(config.num_layers)
                )
        self.output_weight = (
            nn.Parameter(torch.empty(target_size, features)) if config.tied == "none" else None
        )
        self.output_bias = nn.Parameter(torch.zeros(target_size))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Embeddings normal with deviation 1/√E where tied, otherwise 1; output and bridge by Glorot, biases 0."""
        deviation = self.target_embedding.shape[1] ** -0.5
        self.target_embedding.normal_(0.0, 1.0 if self.config.tied == "none" else deviation)
        if self.source_embedding is not None:
            self.source_embedding.normal_()
        if self.output_weight is not None:
            nn.init.xavier_uniform_(self.output_weight)
        for layers in self.bridges.values():
            for layer in layers:  # type: ignore[attr-defined]
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    # --- parts ------------------------------------------------------------------------------------

    def embed_source(self, ids: Tensor) -> Tensor:
        """`[S, Tx, E]` for ids `[S, Tx]`."""
        if self.source_embedding is None:
            return self._dropped(functional.embedding(ids, self.target_embedding) * self._scale)
        return self._dropped(functional.embedding(ids, self.source_embedding))

    def embed_target(self, ids: Tensor) -> Tensor:
        """`[..., E]` for ids `[...]`, -1 being the zero vector."""
        vectors = functional.embedding(ids.clamp(min=0), self.target_embedding)
        if self.config.tied != "none":
            vectors = vectors * self._scale
        return self._dropped(vectors.masked_fill((ids < 0).unsqueeze(-1), 0.0))

    @property
    def _scale(self) -> float:
        """A tied embedding is small for the output layer's sake; as an input it has deviation 1 (Vaswani 2017)."""
        return float(self.target_embedding.shape[1]) ** 0.5

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.config.dropout, self.training)

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory | None, Carried]:
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

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight `[V, F]` and bias `[V]`."""
        weight = self.target_embedding if self.output_weight is None else self.output_weight
        return weight, self.output_bias

    def log_probs(self, features: Tensor) -> Tensor:
        """Log-probabilities `[..., V]` of the next symbol, for features `[..., F]`."""
        return torch.log_softmax(functional.linear(features, *self.output_layer), dim=-1)

    # --- training ---------------------------------------------------------------------------------

    def forward(self, batch: PairBatch) -> tuple[Tensor, Tensor | None]:
        """The features `[B, Ty, F]` that the output layer sees, and the attention `[B, Ty, Tx]`."""
        memory, carried = self.encode(batch.source, batch.source_lengths)
        inputs = functional.pad(batch.target[:, :-1], (1, 0), value=-1)  # [B, Ty], the symbol before
        sampled = self.training and self.config.scheduled_sampling > 0
        if self.decoder.feeds_back or sampled:
            return self._unrolled(inputs, memory, carried)
        return self.decoder(self.embed_target(inputs), carried, memory, batch.target_lengths)

    def _unrolled(
        self, inputs: Tensor, memory: Memory | None, carried: Carried
    ) -> tuple[Tensor, Tensor | None]:
        """What `Decoder.forward` gives, step by step."""
        steps = [layers.unroll() for layers in self.decoder.layers]  # type: ignore[operator]
        attend = self._attend(memory)
        sampling = self.config.scheduled_sampling if self.training else 0.0
        embedded = None if sampling else self.embed_target(inputs)
        features: list[Tensor] = []
        weights: list[Tensor] = []
        for t in range(inputs.shape[1]):
            if embedded is not None:
                x = embedded[:, t]
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

    def _attend(self, memory: Memory | None):  # type: ignore[no-untyped-def]
        attention = self.decoder.attention
        if attention is None or memory is None:
            return None

        def attend(query: Tensor) -> tuple[Tensor, Tensor]:
            context, weights = attention(query.unsqueeze(1), memory)
            return context.squeeze(1), weights.squeeze(1)

        return attend

    def loss(self, batch: PairBatch) -> tuple[Tensor, int]:
        """The sum over the targets' true symbols of −log P in nats, in training with label smoothing; their number."""
        features, _ = self(batch)
        steps = torch.arange(batch.target.shape[1], device=features.device)
        present = steps < batch.target_lengths[:, None]  # [B, Ty]
        smoothing = self.config.label_smoothing if self.training else 0.0
        weight, bias = self.output_layer
        return cross_entropy(features[present], weight, bias, batch.target[present], smoothing), batch.tokens

    def stepper(self, source: Tensor, lengths: Tensor, weights: str | None = None) -> TranslatorStepper:
        """The model as decoding sees it, bound to sources; `weights` as in `Recurrent.streaming`.

        Args:
            source: ids `[S, Tx]`.
            lengths: `[S]`, EOS counted.
        """
        return TranslatorStepper(self, source, lengths, weights)
