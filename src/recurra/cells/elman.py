"""The basic recurrent network."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from recurra.cells.cell import Cell


class Elman(Cell):
    """The basic recurrent cell (Elman 1990, "Finding Structure in Time").

        h' = tanh(W_candidate [h, x] + b_candidate)

    In the course's letters h is a, and W_candidate = [W_aa | W_ax].
    """

    gates = ("candidate",)
    activation: ClassVar[str] = "tanh"

    def step(self, affine: Any, h: Any) -> Any:
        return getattr(torch, self.activation)(affine("candidate", h))


class ReluElman(Elman):
    """The basic recurrent cell with a rectifier (Le, Jaitly & Hinton 2015, without their identity start).

    h' = relu(W_candidate [h, x] + b_candidate)
    """

    activation = "relu"
