"""What a language model is made of: the keys `model.*`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from recurra.cells.names import EXPECTED
from recurra.errors import ConfigError
from recurra.layers.names import InitialState
from recurra.layers.regularisation import Regularisation
from recurra.models.backends import backend_names
from recurra.settings import AUTO, MOST_LAYERS, PROBABILITY, check, is_auto, setting


@dataclass(frozen=True)
class LanguageModelRegularisation(Regularisation):
    """What is dropped inside a language model's recurrent layers; each a probability in [0, 1).

    Attributes:
        weight_drop: dropout on the hidden weights, one mask for the whole call (Merity 2017); auto: by the passes over
            the data.
    """

    weight_drop: float = setting(AUTO, **PROBABILITY, auto=0.0)


@dataclass(frozen=True)
class LanguageModelConfig:
    """What a language model is made of (keys `model.*`).

    Attributes:
        cell: a built-in cell by name; on the command line also FILE.py:Class.
        hidden_size: width of every recurrent layer, or a list with one width per layer.
        num_layers: number of recurrent layers.
        input: "embedding" (trained) or "one_hot".
        embedding_size: width of the embedding.
        tied: the output layer's weights are the embedding's; the last layer must be as wide as the embedding.
        dropout: between layers and on the last layer's output (Zaremba 2014), a probability in [0, 1).
        sampled_softmax: in training, estimate the output layer's loss from so many sampled symbols (for large
            vocabularies whose ids fall in frequency); none: exactly. Evaluation is always exact.
        regularisation: variational dropout, zoneout and weight drop inside the layers.
        initial_state: "zero", "learned" or "random".
        initial_bias: what gates' biases start with, by gate, where it is not what the cell's class says; auto: 0 in
            runs of up to ten minutes.
        residual: add each layer's input to its output, from the second layer on.
        chunk: store states only every so many steps, and recompute those between (default: store all).
        backend: "auto", or the name of a backend.
    """

    cell: str = setting("lstm", expected=EXPECTED, common=True)
    hidden_size: int | list[int] = setting(AUTO, at_least=1, common=True, auto=256)
    num_layers: int = setting(1, at_least=1, at_most=MOST_LAYERS, common=True)
    input: Literal["embedding", "one_hot"] = "embedding"
    embedding_size: int = setting(AUTO, at_least=1, auto=64)
    tied: bool = False
    dropout: float = setting(AUTO, **PROBABILITY, common=True, auto=0.0)
    sampled_softmax: int | None = setting(None, at_least=1)
    regularisation: LanguageModelRegularisation = field(default_factory=LanguageModelRegularisation)
    initial_state: InitialState = "zero"
    initial_bias: dict[str, float] | None = setting(AUTO, auto=None)
    residual: bool = False
    chunk: int | None = setting(None, at_least=1)
    backend: str = setting("auto", names=backend_names)

    def __post_init__(self) -> None:
        check(self, "model")
        if self.tied and self.input != "embedding":
            raise ConfigError(
                "model.tied: there is no embedding to share with model.input one_hot; choose one of the two."
            )
        last = self.hidden_size[-1] if isinstance(self.hidden_size, list) else self.hidden_size
        if self.tied and not (is_auto(self.embedding_size) or is_auto(last)) and self.embedding_size != last:
            raise ConfigError(
                f"model.tied: the embedding is {self.embedding_size} wide and the last layer {last}; make them equal, "
                f"for example with --model.embedding_size {last}."
            )

    @property
    def depth(self) -> int:
        """The number of recurrent layers."""
        return len(self.hidden_size) if isinstance(self.hidden_size, list) else self.num_layers
