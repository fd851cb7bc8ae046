"""Several models decoded as one: at each step the mean of their probabilities.

R rows, V vocabulary, Tx source length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.contracts import Step, Stepper
from recurra.errors import ConfigError, ShapeError


class Ensemble:
    """A Stepper whose distribution is the mean of its members' distributions.

    Its attention is the mean of the attention of those members that have any. An ensemble of one equals its
    member.

    Args:
        steppers: at least one, bound to the same sources, with the same vocabulary.

    Raises:
        ConfigError: there are none.
        ShapeError: on the first step: they differ in sources, vocabulary, distribution or source length.
    """

    def __init__(self, steppers: Sequence[Stepper]) -> None:
        if not steppers:
            raise ConfigError("steppers: expected at least one model, got none.")
        self.steppers = tuple(steppers)

    def start(self) -> Step:
        """The mean distribution over the first symbol, one row per source."""
        return _mean([stepper.start() for stepper in self.steppers])

    def step(self, symbols: Tensor, state: tuple[Any, ...]) -> Step:
        """The mean distribution after `symbols` `[R]`."""
        pairs = zip(self.steppers, state, strict=True)
        return _mean([stepper.step(symbols, part) for stepper, part in pairs])

    def select(self, state: tuple[Any, ...], rows: Tensor) -> tuple[Any, ...]:
        """The given rows `[R]` of every member's state."""
        pairs = zip(self.steppers, state, strict=True)
        return tuple(stepper.select(part, rows) for stepper, part in pairs)


def _mean(steps: list[Step]) -> Step:
    distributions = sorted({step.distribution for step in steps})
    if len(distributions) > 1:
        raise ShapeError(
            f"steppers: expected models of one distribution, got {' and '.join(distributions)}; "
            "combine models of text, or models of note sets."
        )
    log_probs = _stack("log_probs", [step.log_probs for step in steps])  # [members, R, V]
    attention = [step.attention for step in steps if step.attention is not None]
    return Step(
        log_probs.logsumexp(0) - math.log(len(steps)),
        tuple(step.state for step in steps),
        _stack("attention", attention).mean(0) if attention else None,
        steps[0].distribution,
    )


def _stack(name: str, tensors: list[Tensor]) -> Tensor:
    shapes = sorted({tuple(tensor.shape) for tensor in tensors})
    if len(shapes) > 1:
        raise ShapeError(
            f"{name}: the models of an ensemble give shapes {' and '.join(map(str, shapes))}; "
            "combine models of one vocabulary, bound to the same sources."
        )
    return torch.stack(tensors)
