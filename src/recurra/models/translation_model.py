"""What every encoder–decoder has in common: the embeddings before it, the output layer and the loss after it.

B batch, S sources, Tx source length, Ty target length, E embedding, F features, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.cells.drawing import is_drawing
from recurra.contracts import Batch, State, Stepper
from recurra.errors import ConfigError
from recurra.layers.dropout import dropout
from recurra.layers.output import cross_entropy
from recurra.layers.recurrent import Recurrent
from recurra.models.translation_config import EncoderDecoderConfig


class TranslationModel(nn.Module, ABC):
    """A model of targets given sources, each ended by EOS; a target starts with a zero input vector.

    Args:
        config: sizes and options.
        source_size: symbols of the source's vocabulary.
        target_size: V, of the target's.
        joint: both vocabularies are the same one.
        embedding_size: E.
        features: F; E where the output layer's weights are the target's embedding.

    Raises:
        ConfigError: `tied` takes another vocabulary.
    """

    def __init__(
        self,
        config: EncoderDecoderConfig,
        source_size: int,
        target_size: int,
        joint: bool,
        embedding_size: int,
        features: int,
    ) -> None:
        super().__init__()
        if config.tied == "all" and not joint:
            raise ConfigError(
                "model.tied: all takes one vocabulary for both sides; add --data.joint true, or tie the output only."
            )
        self.config = config
        self.target_embedding = nn.Parameter(torch.empty(target_size, embedding_size))
        self.source_embedding = (
            None if config.tied == "all" else nn.Parameter(torch.empty(source_size, embedding_size))
        )
        self.output_weight = (
            nn.Parameter(torch.empty(target_size, features)) if config.tied == "none" else None
        )
        self.output_bias = nn.Parameter(torch.empty(target_size))

    def extra_repr(self) -> str:  # noqa: D102
        target, source = self.target_embedding, self.source_embedding
        read = "the target's" if source is None else f"{list(source.shape)}"
        weight = target if self.output_weight is None else self.output_weight
        tied = ", tied to the target's embedding" if self.output_weight is None else ""
        return "\n".join(
            [
                f"source embedding: {read}",
                f"target embedding: {list(target.shape)}",
                f"output layer: {weight.shape[1]} -> {weight.shape[0]}{tied}",
            ]
        )

    def draw_weights(self) -> None:
        """Initial weights, unless others will be put in their place: what constructors end with."""
        if is_drawing():
            self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Embeddings normal with deviation 1/√E where tied, otherwise 1; the output layer by Glorot, its bias 0."""
        deviation = self.target_embedding.shape[1] ** -0.5
        self.target_embedding.normal_(0.0, 1.0 if self.config.tied == "none" else deviation)
        if self.source_embedding is not None:
            self.source_embedding.normal_()
        if self.output_weight is not None:
            nn.init.xavier_uniform_(self.output_weight)
        nn.init.zeros_(self.output_bias)

    # --- what differs -----------------------------------------------------------------------------

    @property
    @abstractmethod
    def shows_attention(self) -> bool:
        """Whether `forward` and steppers say what of the source each symbol was predicted from."""

    @abstractmethod
    def features(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The features `[B, Ty, F]` that the output layer sees, and the attention `[B, Ty, Tx]` or None."""

    @abstractmethod
    def layers(self, batch: Batch) -> list[tuple[str, Recurrent, Tensor, Tensor | None]]:
        """Each stack of recurrent layers: its name, itself, its input `[B, T, I]` on this batch, the rows' lengths."""

    @abstractmethod
    def stepper(self, batch: Batch) -> Stepper:
        """The model as decoding sees it, bound to the sources of a batch: ids `[S, Tx]`, EOS counted in `lengths`."""

    # --- both ends --------------------------------------------------------------------------------

    def source_vectors(self, ids: Tensor) -> Tensor:
        """`[S, Tx, E]` for ids `[S, Tx]`."""
        if self.source_embedding is None:
            return functional.embedding(ids, self.target_embedding) * self._scale
        return functional.embedding(ids, self.source_embedding)

    def target_vectors(self, ids: Tensor) -> Tensor:
        """`[..., E]` for ids `[...]`, -1 being the zero vector."""
        vectors = functional.embedding(ids.clamp(min=0), self.target_embedding)
        if self.config.tied != "none":
            vectors = vectors * self._scale
        return vectors.masked_fill((ids < 0).unsqueeze(-1), 0.0)

    @property
    def _scale(self) -> float:
        """A tied embedding is small for the output layer's sake; as an input it has deviation 1 (Vaswani 2017)."""
        return float(self.target_embedding.shape[1]) ** 0.5

    def dropped(self, x: Tensor) -> Tensor:
        """`x` with dropout in training."""
        return dropout(x, self.config.dropout, self.training)

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight `[V, F]` and bias `[V]`."""
        weight = self.target_embedding if self.output_weight is None else self.output_weight
        return weight, self.output_bias

    def log_probs(self, features: Tensor) -> Tensor:
        """Log-probabilities `[..., V]` of the next symbol, for features `[..., F]`."""
        return torch.log_softmax(functional.linear(features, *self.output_layer), dim=-1)

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Tensor, int, None]:
        """The sum over the targets' true symbols of −log P in nats, in training with label smoothing; their number.

        Args:
            batch: sources and targets, EOS last in each row.
            state: none, as each pair starts anew.
        """
        features, _ = self.features(batch)
        targets, present = batch.targets, batch.present()
        assert targets is not None
        assert present is not None
        smoothing = self.config.label_smoothing if self.training else 0.0
        loss = cross_entropy(features[present], *self.output_layer, targets[present], smoothing)
        return loss, batch.tokens, None


def source_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """The sources of a batch of pairs, ids `[B, Tx]`, and their lengths `[B]`."""
    assert isinstance(batch.inputs, Tensor)
    assert batch.lengths is not None
    return batch.inputs, batch.lengths


def symbols_before(target: Tensor) -> Tensor:
    """At each step of targets `[B, Ty]` the symbol before, -1 at the first."""
    return functional.pad(target[:, :-1], (1, 0), value=-1)
