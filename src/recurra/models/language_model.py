"""Language model: a sequence → its own continuation, over symbols or over sets of notes.

B batch, T time, E embedding, I input of the recurrent layers, H hidden, V vocabulary, R rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.cells import Cell, resolve, with_initial_bias
from recurra.cells.drawing import is_drawing
from recurra.contracts import Batch, State, Step
from recurra.errors import ConfigError
from recurra.layers.dropout import dropout
from recurra.layers.heads import Bernoulli, Categorical, Distribution, Head
from recurra.layers.recurrent import Recurrent
from recurra.models.language_model_config import LanguageModelConfig
from recurra.settings import filled


class LanguageModel(nn.Module):
    """Embedding or one-hot input, recurrent layers, output layer.

    Each sequence starts with a zero state and a zero input vector, and the symbol before is the input of each
    later step.

        model = LanguageModel(LanguageModelConfig(hidden_size=32), vocabulary_size=50)
        loss_sum, count, state = model(batch)

    Args:
        config: sizes and options.
        vocabulary_size: V; for note sets the number of keys.
        cell: the cell's class, where it is not one of those built in.
        distribution: "categorical", one of V symbols at each step, or "bernoulli", each of V keys on or off.

    Raises:
        ConfigError, ShapeError, CellError, BackendError: as `Recurrent`.
    """

    def __init__(
        self,
        config: LanguageModelConfig,
        vocabulary_size: int,
        cell: type[Cell] | None = None,
        distribution: Distribution = "categorical",
    ) -> None:
        super().__init__()
        config = filled(config)
        self.vocabulary_size = vocabulary_size
        sampled = config.sampled_softmax
        if sampled and (distribution == "bernoulli" or sampled >= vocabulary_size):
            raise ConfigError(
                f"model.sampled_softmax: expected fewer samples than the vocabulary's {vocabulary_size} symbols, "
                f"and no note sets, got {sampled}; leave it out."
            )
        self.head: Head = Bernoulli() if distribution == "bernoulli" else Categorical(sampled)
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
            dropout=config.dropout if config.depth > 1 else 0.0,
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
        if is_drawing():
            self.reset_parameters()

    def extra_repr(self) -> str:  # noqa: D102
        embedding = self.embedding
        read = (
            f"one-hot, {self.vocabulary_size}" if embedding is None else f"embedding {list(embedding.shape)}"
        )
        weight, tied = self.output_layer[0], ", tied to the embedding" if self.output_weight is None else ""
        dropped = f", dropout={self.dropout}" if self.dropout else ""
        return f"input: {read}\noutput layer: {weight.shape[1]} -> {weight.shape[0]}{tied}{dropped}"

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
        return self.head.embed(inputs, self.embedding, self.vocabulary_size, self.output_bias.dtype)

    def features(
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
        return self.head.log_probs(functional.linear(hidden, *self.output_layer))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Tensor, int, State]:
        """The sum of −log P over the batch's true symbols, in nats, their number, and the final state.

        Args:
            batch: ids, or note sets, and at each step of `targets` the symbol that follows.
            state: of the batch before, where this one continues it; None for the initial state.
        """
        inputs, targets = batch.inputs, batch.targets
        assert isinstance(inputs, Tensor)
        assert targets is not None
        hidden, new_state = self.features(inputs, state, batch.lengths)
        present = batch.present()
        if present is None:
            hidden, targets = hidden.flatten(0, 1), targets.flatten(0, 1)
        else:
            hidden, targets = hidden[present], targets[present]
        return self.head.loss(hidden, *self.output_layer, targets, self.training), batch.tokens, new_state

    def layers(self, batch: Batch) -> list[tuple[str, Recurrent, Tensor, Tensor | None]]:
        """The recurrent layers with their input `[B, T, I]` on this batch and the rows' lengths."""
        assert isinstance(batch.inputs, Tensor)
        return [("", self.rnn, self.embed(batch.inputs), batch.lengths)]

    def stepper(self, batch: Batch, weights: str | None = None) -> LanguageModelStepper:
        """The model as decoding sees it, for as many sequences as the batch has rows; their inputs are not read.

        Args:
            batch: `Batch.of_rows(1)`, for example.
            weights: as in `Recurrent.streaming`.
        """
        return LanguageModelStepper(self, len(batch), weights)


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
        return Step(self._model.log_probs(output), new_state, distribution=self._model.head.name)
