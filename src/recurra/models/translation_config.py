"""What an encoder–decoder is made of: the keys `model.*` of translation.

H hidden, M memory.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from recurra.cells.names import EXPECTED
from recurra.errors import ConfigError
from recurra.layers.names import Energy
from recurra.layers.regularisation import Regularisation
from recurra.models.backends import backend_names
from recurra.settings import AUTO, MOST_LAYERS, PROBABILITY, check, is_auto, probability, setting

Architecture = Literal["recurrent", "transformer"]
Wiring = Literal["none", "bahdanau", "luong", "gnmt"]
Bridge = Literal["zero", "last", "learned"]
Tied = Literal["none", "output", "all"]

ONE_ARCHITECTURE_ONLY = {
    "recurrent": (
        "cell",
        "encoder_hidden_size",
        "bidirectional",
        "embedding_size",
        "attention",
        "energy",
        "attention_size",
        "input_feeding",
        "bridge",
        "scheduled_sampling",
        "regularisation",
        "initial_bias",
        "backend",
    ),
    "transformer": ("heads", "feedforward_size"),
}
"""The keys that belong to one architecture only."""


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """What an encoder–decoder is made of (keys `model.*`).

    A transformer takes `hidden_size`, `num_layers`, `encoder_layers`, `tied`, `dropout`, `label_smoothing` and its
    own `heads` and `feedforward_size`; recurrent layers take all but those two.

    Attributes:
        architecture: "recurrent", or "transformer", with PyTorch's own layers, as a yardstick.
        cell: of encoder and decoder, a built-in one by name; on the command line also FILE.py:Class.
        hidden_size: width H of every layer of the decoder; of a transformer, of both sides and of the embeddings.
        num_layers: number of layers of the decoder; gnmt takes at least 2.
        encoder_hidden_size: width of every layer of the encoder, of each direction (default: so that what is attended
            to is as wide as the decoder, half of it for each direction of a bidirectional encoder).
        encoder_layers: number of layers of the encoder (default: as many as the decoder has).
        bidirectional: the encoder reads the source both ways.
        embedding_size: width of the embeddings.
        tied: "output": the output layer's weights are the target's embedding; "all": the source's as well, which
            takes a joint vocabulary; "none".
        heads: of a transformer's attention, a divisor of its width (default: one for every 64 units of it, fewer where
            that is no divisor).
        feedforward_size: width inside a transformer's feed-forward layers (default: four times its own).
        attention: none, or the wiring of Bahdanau 2015, Luong 2015 or GNMT (Wu 2016).
        energy: dot, scaled, general, additive or normed_additive (default: additive for bahdanau, else
            dot, or general where what is attended to is not as wide as the decoder).
        attention_size: width of the additive energies' hidden layer (default: as wide as the decoder).
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

    architecture: Architecture = "recurrent"
    cell: str = setting("lstm", expected=EXPECTED, common=True)
    hidden_size: int = setting(AUTO, at_least=1, common=True, auto=256)
    num_layers: int = setting(1, at_least=1, at_most=MOST_LAYERS)
    encoder_hidden_size: int | None = setting(None, at_least=1)
    encoder_layers: int | None = setting(None, at_least=1, at_most=MOST_LAYERS)
    bidirectional: bool = True
    embedding_size: int = setting(AUTO, at_least=1, auto=256)
    tied: Tied = "none"
    heads: int | None = setting(None, at_least=1)
    feedforward_size: int | None = setting(None, at_least=1)
    attention: Wiring = setting("luong", common=True)
    energy: Energy | None = None
    attention_size: int | None = setting(None, at_least=1)
    input_feeding: bool = False
    bridge: Bridge = "learned"
    dropout: float = setting(AUTO, **PROBABILITY, common=True, auto=0.2)
    label_smoothing: float = probability(0.1)
    scheduled_sampling: float = setting(0.0, at_least=0, at_most=1, expected="a share in [0, 1]")
    regularisation: Regularisation = field(default_factory=Regularisation)
    initial_bias: dict[str, float] | None = None
    backend: str = setting("auto", names=backend_names)

    def __post_init__(self) -> None:
        check(self, "model")
        self._check_architecture()
        if self.architecture == "recurrent":
            self._check_together()

    def _check_architecture(self) -> None:
        """Refuse the keys of the other architecture, and heads that do not divide the width."""
        other = "transformer" if self.architecture == "recurrent" else "recurrent"
        for key in dataclasses.fields(self):
            unset = key.default if key.default_factory is dataclasses.MISSING else key.default_factory()
            given = getattr(self, key.name) not in (unset, key.metadata.get("auto", unset))
            if key.name in ONE_ARCHITECTURE_ONLY[other] and given:
                raise ConfigError(
                    f"model.{key.name}: belongs to model.architecture {other}, got {self.architecture}; leave it out."
                )
        if self.heads is not None and not is_auto(self.hidden_size) and self.hidden_size % self.heads:
            raise ConfigError(
                f"model.heads: expected a divisor of model.hidden_size {self.hidden_size}, got {self.heads}."
            )

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
        if is_auto(self.hidden_size):
            return
        if self.bidirectional and self.encoder_hidden_size is None and self.hidden_size % 2:
            raise ConfigError(
                f"model.hidden_size: {self.hidden_size} cannot be halved for the two directions of the encoder; "
                "give model.encoder_hidden_size."
            )
        if self.bridge == "last" and self.memory_size != self.hidden_size:
            raise ConfigError(
                f"model.bridge: last states are {self.memory_size} wide and the decoder {self.hidden_size}; "
                "use learned, or make them equal with model.encoder_hidden_size."
            )

    @property
    def head_count(self) -> int:
        """A transformer's heads, resolved."""
        most = max(1, self.hidden_size // 64)
        return self.heads or max(count for count in range(1, most + 1) if self.hidden_size % count == 0)

    @property
    def attention_energy(self) -> Energy:
        """The energy of a model with attention, resolved."""
        if self.energy is not None:
            return self.energy
        if self.attention == "bahdanau":
            return "additive"
        return "dot" if self.memory_size == self.hidden_size else "general"

    @property
    def memory_size(self) -> int:
        """The width of what is attended to: both directions of the encoder side by side."""
        return self.encoder_width * (2 if self.bidirectional else 1)

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
