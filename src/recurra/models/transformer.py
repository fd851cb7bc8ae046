"""Transformer: PyTorch's own layers as an encoder–decoder, the yardstick for the recurrent ones.

B batch, S sources, R rows, Tx source length, Ty target length, H width, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recurra.contracts import Batch, Step
from recurra.layers.mode import evaluating
from recurra.layers.recurrent import Recurrent
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.models.translation_model import TranslationModel, source_of, symbols_before
from recurra.settings import filled


def sinusoids(length: int, width: int, like: Tensor) -> Tensor:
    """Positions as vectors `[length, width]` (Vaswani 2017, section 3.5).

        position[t, 2i]     = sin(t / 10000^(2i / width))
        position[t, 2i + 1] = cos(t / 10000^(2i / width))

    Args:
        length: positions, from 0.
        width: of the vectors, at least 1.
        like: what they are to be added to, for dtype and device.
    """
    pairs = torch.arange(0, width, 2, dtype=torch.float64, device=like.device)
    steps = torch.arange(length, dtype=torch.float64, device=like.device)
    angles = steps[:, None] * torch.exp(pairs * (-math.log(10000.0) / width))  # [length, pairs]
    both = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    return both[:, :width].to(like.dtype)


class Transformer(TranslationModel):
    """`nn.TransformerEncoder` and `nn.TransformerDecoder`, normalised before each layer (Vaswani 2017; Xiong 2020).

    What the first step of a target reads is the zero vector and its position.

    Args:
        config: sizes and options.
        source_size: symbols of the source's vocabulary.
        target_size: V, of the target's.
        joint: both vocabularies are the same one.

    Raises:
        ConfigError: `tied` takes another vocabulary.
    """

    def __init__(
        self, config: EncoderDecoderConfig, source_size: int, target_size: int, joint: bool = False
    ) -> None:
        config = filled(config)
        width = config.hidden_size
        super().__init__(config, source_size, target_size, joint, width, width)
        inner = config.feedforward_size or 4 * width
        shape = (width, config.head_count, inner, config.dropout)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(*shape, batch_first=True, norm_first=True),
            config.encoder_depth,
            nn.LayerNorm(width),
            enable_nested_tensor=False,  # not with layers that are normalised before
        )
        self.decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(*shape, batch_first=True, norm_first=True),
            config.num_layers,
            nn.LayerNorm(width),
        )
        self.draw_weights()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Embeddings normal with deviation 1/√H where tied, otherwise 1; matrices by Glorot, gains 1, biases 0."""
        super().reset_parameters()
        for module in (*self.encoder.modules(), *self.decoder.modules()):
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)
                else:
                    gain = isinstance(module, nn.LayerNorm) and name == "weight"
                    nn.init.constant_(parameter, 1.0 if gain else 0.0)

    @property
    def shows_attention(self) -> bool:
        """No: every layer and head has its own, and none of them is the model's."""
        return False

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder attends to, `[S, Tx, H]`, and which of it is padding, `[S, Tx]`.

        Args:
            source: ids `[S, Tx]`.
            lengths: `[S]`.
        """
        padding = torch.arange(source.shape[1], device=source.device) >= lengths[:, None]
        return self.encoder(self._placed(self.source_vectors(source)), src_key_padding_mask=padding), padding

    def decode(self, before: Tensor, memory: Tensor, padding: Tensor) -> Tensor:
        """The features `[B, Ty, H]` that the output layer sees.

        Args:
            before: at each step the symbol before `[B, Ty]`, -1 being the zero vector.
            memory, padding: as `encode` gives them, of the B sources.
        """
        length = before.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=before.device).triu(1)  # is not looked at
        return self.decoder(
            self._placed(self.target_vectors(before)),
            memory,
            tgt_mask=later,
            memory_key_padding_mask=padding,
            tgt_is_causal=True,
        )

    def _placed(self, vectors: Tensor) -> Tensor:
        return self.dropped(vectors + sinusoids(vectors.shape[1], vectors.shape[2], vectors))

    def features(self, batch: Batch) -> tuple[Tensor, None]:
        """The features `[B, Ty, H]` that the output layer sees, and no attention."""
        memory = self.encode(*source_of(batch))
        assert batch.targets is not None
        return self.decode(symbols_before(batch.targets), *memory), None

    def layers(self, batch: Batch) -> list[tuple[str, Recurrent, Tensor, Tensor | None]]:
        """None: a transformer has no recurrent layers."""
        return []

    def stepper(self, batch: Batch) -> TransformerStepper:
        """The model as decoding sees it, bound to the sources of a batch."""
        return TransformerStepper(self, *source_of(batch))


@dataclass(frozen=True)
class Prefixes:
    """The state of a `TransformerStepper`.

    Attributes:
        symbols: what each row says so far, `[R, t]`.
        sources: which source each row translates, `[R]`.
        memory, padding: of the sources, as `Transformer.encode` gives them.
    """

    symbols: Tensor
    sources: Tensor
    memory: Tensor
    padding: Tensor


class TransformerStepper:
    """A `Stepper` over a transformer, bound to S sources; row s of `start` translates source s.

    A row's state is its prefix: each step computes the whole of it anew, keys and values of the layers included.
    That is the plainest way and not the fastest; timings of it are to be read so. It computes in evaluation mode.

    Args:
        model: whose.
        source: ids `[S, Tx]`.
        lengths: `[S]`.
    """

    def __init__(self, model: Transformer, source: Tensor, lengths: Tensor) -> None:
        self._model, self._source, self._lengths = model, source, lengths

    @torch.no_grad()
    def start(self) -> Step:
        """The distribution over the first symbol, after the zero vector, one row per source."""
        with evaluating(self._model):
            memory, padding = self._model.encode(self._source, self._lengths)
        sources = torch.arange(len(self._source), device=self._source.device)
        return self._next(Prefixes(self._source[:, :0], sources, memory, padding))

    @torch.no_grad()
    def step(self, symbols: Tensor, state: Prefixes) -> Step:
        """The distribution after `symbols` `[R]`."""
        said = torch.cat([state.symbols, symbols[:, None]], dim=1)
        return self._next(Prefixes(said, state.sources, state.memory, state.padding))

    def select(self, state: Prefixes, rows: Tensor) -> Prefixes:
        """The given rows `[R]` of a state; they may repeat, shrink or grow."""
        symbols, sources = state.symbols.index_select(0, rows), state.sources.index_select(0, rows)
        return Prefixes(symbols, sources, state.memory, state.padding)

    def _next(self, state: Prefixes) -> Step:
        before = nn.functional.pad(state.symbols, (1, 0), value=-1)
        memory, padding = (one.index_select(0, state.sources) for one in (state.memory, state.padding))
        with evaluating(self._model):
            features = self._model.decode(before, memory, padding)[:, -1]
        return Step(self._model.log_probs(features), state)
