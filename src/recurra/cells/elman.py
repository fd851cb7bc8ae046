"""The basic recurrent network, with its units joined or independent of each other."""

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


class IndRNN(Cell):
    """Independently recurrent units (Li et al. 2018, "Independently Recurrent Neural Network (IndRNN)").

        h' = relu(W_candidate x + u * h + b_candidate)

    Each unit sees of the state its own value only, times its weight u, the vector `recurrent`. It starts at 1,
    so that each unit first sums its inputs; the paper draws it from a range that depends on the length of the
    sequences, and keeps it there.
    """

    gates = ("candidate",)
    vectors = ("recurrent",)
    initial_vector = {"recurrent": 1.0}

    def step(self, affine: Any, h: Any) -> Any:
        return (affine("candidate") + affine.vector("recurrent") * h).relu()
