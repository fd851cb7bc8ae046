"""Language model: a sequence → its own continuation, over symbols or over sets of notes.

B batch, T time, E embedding, I input of the recurrent layers, H hidden, V vocabulary, R rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.cells import Cell, resolve, with_initial_bias
from recurra.contracts import Batch, State, Step
from recurra.engine import CHOICES
from recurra.errors import ConfigError, nearest
from recurra.layers.arguments import INITIAL_STATES
from recurra.layers.dropout import dropout
from recurra.layers.output import binary_cross_entropy, cross_entropy, sampled_cross_entropy
from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation, check_probability
from recurra.models.checks import check_initial_bias

INPUTS = ("embedding", "one_hot")


@dataclass(frozen=True)
class LanguageModelConfig:
    """What a language model is made of (keys `model.*`).

    Attributes:
        cell: a built-in cell by name; on the command line also FILE.py:Class.
        hidden_size: width of every recurrent layer, or a list with one width per layer.
        num_layers: recurrent layers.
        input: "embedding" (trained) or "one_hot".
        embedding_size: width of the embedding.
        tied: the output layer's weights are the embedding's; the last layer must be as wide as the embedding.
        dropout: between layers and on the last layer's output (Zaremba 2014), a probability in [0, 1).
        sampled_softmax: in training, estimate the output layer's loss from so many sampled symbols (for large
            vocabularies whose ids fall in frequency); None: exactly. Evaluation is always exact.
        regularisation: variational dropout, zoneout and weight drop inside the layers.
        initial_state: "zero", "learned" or "random".
        initial_bias: what gates' biases start with, by gate, where it is not what the cell's class says.
        residual: add each layer's input to its output, from the second layer on.
        chunk: store states only every so many steps, and recompute those between.
        backend: "auto", or the name of a backend.
    """

    cell: str = "lstm"
    hidden_size: int | list[int] = 256
    num_layers: int = 1
    input: Literal["embedding", "one_hot"] = "embedding"
    embedding_size: int = 64
    tied: bool = False
    dropout: float = 0.0
    sampled_softmax: int | None = None
    regularisation: Regularisation = field(default_factory=Regularisation)
    initial_state: Literal["zero", "learned", "random"] = "zero"
    initial_bias: dict[str, float] | None = None
    residual: bool = False
    chunk: int | None = None
    backend: str = "auto"

    def __post_init__(self) -> None:
        sizes = {"embedding_size": [self.embedding_size], "num_layers": [self.num_layers]}
        if self.sampled_softmax is not None:
            sizes["sampled_softmax"] = [self.sampled_softmax]
        sizes["hidden_size"] = self.hidden_size if isinstance(self.hidden_size, list) else [self.hidden_size]
        for name, values in sizes.items():
            if not values or any(isinstance(v, bool) or not isinstance(v, int) or v < 1 for v in values):
                raise ConfigError(
                    f"model.{name}: expected whole numbers of at least 1, got {getattr(self, name)!r}."
                )
        check_probability("model.dropout", self.dropout)
        check_initial_bias(self.initial_bias)
        choices = {"input": INPUTS, "initial_state": INITIAL_STATES, "backend": CHOICES}
        for name, known in choices.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"model.{name}: expected one of {', '.join(known)}, got {value!r}.{nearest(value, known)}"
                )
        if self.tied and self.input != "embedding":
            raise ConfigError(
                "model.tied: there is no embedding to share with model.input one_hot; choose one of the two."
            )
        last = self.hidden_size[-1] if isinstance(self.hidden_size, list) else self.hidden_size
        if self.tied and self.embedding_size != last:
            raise ConfigError(
                f"model.tied: the embedding is {self.embedding_size} wide and the last layer {last}; make them equal, "
                f"for example with --model.embedding_size {last}."
            )


class LanguageModel(nn.Module):
    """Embedding or one-hot input, recurrent layers, output layer.

    Each sequence starts with a zero state and a zero input vector, and the symbol before is the input of each
    later step.

    Args:
        config: sizes and options.
        vocabulary_size: V; for note sets the number of keys.
        cell: the cell's class, where it is not one of those built in.
        note_sets: symbols are sets of notes, each key on or off by itself.

    Raises:
        ConfigError, ShapeError, CellError, BackendError: as `Recurrent`.
    """

    def __init__(
        self,
        config: LanguageModelConfig,
        vocabulary_size: int,
        cell: type[Cell] | None = None,
        note_sets: bool = False,
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.note_sets = note_sets
        self.sampled_softmax = config.sampled_softmax
        if self.sampled_softmax and (note_sets or self.sampled_softmax >= vocabulary_size):
            raise ConfigError(
                f"model.sampled_softmax: expected fewer samples than the vocabulary's {vocabulary_size} symbols, "
                f"and no note sets, got {self.sampled_softmax}; leave it out."
            )
        embedded = config.input == "embedding"
        self.embedding = (
            nn.Parameter(torch.empty(vocabulary_size, config.embedding_size)) if embedded else None
        )  # [V, E]
        cell = with_initial_bias(cell or resolve(config.cell), config.initial_bias or {})
        self.rnn = Recurrent(
            cell,
            config.embedding_size if embedded else vocabulary_size,
            config.hidden_size,
            config.num_layers,
            dropout=config.dropout if self._depth(config) > 1 else 0.0,
            regularisation=config.regularisation,
            initial_state=config.initial_state,
            chunk=config.chunk,
            backend=config.backend,
            residual=config.residual,
        )
        self.dropout = config.dropout
        width = self.rnn.hidden_sizes[-1]
        self.output_weight = (
            None if config.tied else nn.Parameter(torch.empty(vocabulary_size, width))
        )  # [V, H]
        self.output_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.reset_parameters()

    @staticmethod
    def _depth(config: LanguageModelConfig) -> int:
        return len(config.hidden_size) if isinstance(config.hidden_size, list) else config.num_layers

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Embedding normal with deviation 1/√E if tied, otherwise 1; output uniform in ±1/√H, its bias 0."""
        if self.embedding is not None:
            tied = self.output_weight is None
            self.embedding.normal_(0.0, self.embedding.shape[1] ** -0.5 if tied else 1.0)
        if self.output_weight is not None:
            bound = self.output_weight.shape[1] ** -0.5
            self.output_weight.uniform_(-bound, bound)

    @property
    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Weight `[V, H]` and bias `[V]`."""
        weight = self.embedding if self.output_weight is None else self.output_weight
        assert weight is not None
        return weight, self.output_bias

    def embed(self, inputs: Tensor) -> Tensor:
        """The recurrent layers' input `[..., I]` for ids `[...]`, -1 being the zero vector, or note sets `[..., V]`."""
        if self.note_sets:
            values = inputs.to(self.output_bias.dtype)
            return values if self.embedding is None else values @ self.embedding
        known = inputs.clamp(min=0)
        if self.embedding is None:
            vectors = functional.one_hot(known, self.vocabulary_size).to(self.output_bias.dtype)
        else:
            vectors = functional.embedding(known, self.embedding)
        return vectors.masked_fill((inputs < 0).unsqueeze(-1), 0.0)

    def forward(
        self, inputs: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The features `[B, T, H]` that the output layer sees, and the final state.

        Args:
            inputs: ids `[B, T]` or note sets `[B, T, V]`: at each step the symbol before.
            state: None for the initial state.
            lengths: `[B]`, or None where every row is T long.
        """
        hidden, new_state = self.rnn(self.embed(inputs), state, lengths)
        return dropout(hidden, self.dropout, self.training), new_state

    def log_probs(self, hidden: Tensor) -> Tensor:
        """Log-probabilities `[..., V]` of the next symbol; for note sets of each key being on."""
        logits = functional.linear(hidden, *self.output_layer)
        return functional.logsigmoid(logits) if self.note_sets else torch.log_softmax(logits, dim=-1)

    def loss(self, batch: Batch, state: State | None = None) -> tuple[Tensor, int, State]:
        """The sum of −log P over the batch's true symbols, in nats, their number, and the final state."""
        hidden, new_state = self(batch.inputs, state, batch.lengths)
        targets = batch.targets
        if batch.lengths is not None:
            steps = torch.arange(hidden.shape[1], device=hidden.device)
            present = steps < batch.lengths[:, None]
            hidden, targets = hidden[present], targets[present]
        else:
            hidden, targets = hidden.flatten(0, 1), targets.flatten(0, 1)
        return self._cost(hidden, targets), batch.tokens, new_state

    def _cost(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """The sum of nats over positions: `hidden` [N, H], `targets` [N] or [N, V]."""
        weight, bias = self.output_layer
        if self.note_sets:
            return binary_cross_entropy(hidden, weight, bias, targets)
        if self.training and self.sampled_softmax:
            return sampled_cross_entropy(hidden, weight, bias, targets, self.sampled_softmax)
        return cross_entropy(hidden, weight, bias, targets)

    def stepper(self, rows: int, weights: str | None = None) -> LanguageModelStepper:
        """The model as decoding sees it, for `rows` sequences side by side; `weights` as in `Recurrent.streaming`."""
        return LanguageModelStepper(self, rows, weights)


class LanguageModelStepper:
    """A `Stepper` over a language model; its state is a `State`.

    It holds the weights as they are when it is made and computes in evaluation mode.
    """

    def __init__(self, model: LanguageModel, rows: int, weights: str | None = None) -> None:
        self._model = model
        self._rows = rows
        self._rnn = model.rnn.streaming(weights)

    @torch.no_grad()
    def start(self) -> Step:
        """The distribution over the first symbol, after the zero input vector."""
        x = self._model.output_bias.new_zeros(self._rows, self._model.rnn.input_size)
        return self._next(x, None)

    @torch.no_grad()
    def step(self, symbols: Tensor, state: State) -> Step:
        """The distribution after `symbols`: ids `[R]`, or note sets `[R, V]`."""
        return self._next(self._model.embed(symbols), state)

    def select(self, state: State, rows: Tensor) -> State:
        """The given rows `[R]` of a state."""
        return self._rnn.select(state, rows)

    def _next(self, x: Tensor, state: State | None) -> Step:
        output, new_state = self._rnn.step(x, state)
        return Step(self._model.log_probs(output), new_state)
