"""The configuration of the optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recurra.settings import AUTO, check, is_auto, setting

DEFAULTS = {"adam": (2e-3, 0.0), "adamw": (2e-3, 0.01), "sgd": (1.0, 0.0)}
"""Learning rate and weight decay that each takes when they are not given."""


@dataclass(frozen=True)
class OptimiserConfig:
    """How weights follow gradients (keys `optimiser.*`).

    Attributes:
        name: adam (Kingma & Ba 2015), adamw (decoupled decay; Loshchilov & Hutter 2019) or sgd.
        learning_rate: the highest learning rate, which the schedule scales; auto: by the model's width, for sgd 1.
        weight_decay: of weight matrices and embeddings; biases, vectors, and norms' gains and shifts do not
            decay (default: 0.01 for adamw, else 0).
        momentum: of sgd, in [0, 1).
        betas: the decay rates of adam's and adamw's two averages, in [0, 1).
    """

    name: Literal["adam", "adamw", "sgd"] = setting("adamw", fixed="its state is that of one optimiser")
    learning_rate: float | None = setting(AUTO, above=0, common=True, auto=None)
    weight_decay: float | None = setting(None, at_least=0)
    momentum: float = setting(0.0, at_least=0, below=1)
    betas: tuple[float, float] = setting((0.9, 0.99), at_least=0, below=1, expected="two numbers in [0, 1)")

    def __post_init__(self) -> None:
        check(self, "optimiser")
        learning_rate, weight_decay = DEFAULTS[self.name]
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", learning_rate)
        if self.weight_decay is None:
            object.__setattr__(self, "weight_decay", weight_decay)

    @property
    def rate(self) -> float:
        """The learning rate, resolved."""
        given = self.learning_rate
        return DEFAULTS[self.name][0] if given is None or is_auto(given) else float(given)
