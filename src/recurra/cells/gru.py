"""Gated recurrent units, and smaller relatives. The two sign conventions in use are two classes here.

In `SimplifiedGRU` and `GRU` *update* is the share of the candidate in the new state, as in Chung 2014 and
in the course (Γ_u). In `GRUResetAfter` it is the share of the old state that is kept, as in cuDNN, PyTorch
and Keras. One turns into the other by negating the update gate's rows and bias, since 1 − σ(a) = σ(−a).
"""

from __future__ import annotations

from typing import Any

from recurra.cells.cell import Cell


class SimplifiedGRU(Cell):
    """A GRU with the update gate only, the course's first step towards the full one.

    update    = sigmoid(W_u [h, x] + b_u)
    candidate = tanh(W_c [h, x] + b_c)
    h' = update * candidate + (1 - update) * h
    """

    gates = ("update", "candidate")

    def step(self, affine: Any, h: Any) -> Any:
        update = affine("update", h).sigmoid()
        candidate = affine("candidate", h).tanh()
        return update * candidate + (1 - update) * h


class MinimalGatedUnit(Cell):
    """One gate, which both resets and updates (Zhou et al. 2016, "Minimal gated unit for recurrent neural networks").

        forget    = sigmoid(W_f [h, x] + b_f)
        candidate = tanh(W_c [forget * h, x] + b_c)
        h' = forget * candidate + (1 - forget) * h

    The name of the gate is the paper's, in which it is the share of the candidate, as *update* is in `GRU`.
    """

    gates = ("forget", "candidate")

    def step(self, affine: Any, h: Any) -> Any:
        forget = affine("forget", h).sigmoid()
        candidate = affine("candidate", forget * h).tanh()
        return forget * candidate + (1 - forget) * h


class GRU(Cell):
    """The gated recurrent unit, reset before the product (Cho 2014; sign of Chung 2014, equations 5 to 8).

    update    = sigmoid(W_u [h, x] + b_u)
    reset     = sigmoid(W_r [h, x] + b_r)
    candidate = tanh(W_c [reset * h, x] + b_c)
    h' = update * candidate + (1 - update) * h
    """

    gates = ("update", "reset", "candidate")

    def step(self, affine: Any, h: Any) -> Any:
        update = affine("update", h).sigmoid()
        reset = affine("reset", h).sigmoid()
        candidate = affine("candidate", reset * h).tanh()
        return update * candidate + (1 - update) * h


class GRUResetAfter(Cell):
    """The gated recurrent unit of cuDNN, PyTorch and Keras, reset after the product.

        reset     = sigmoid(W_r x + b_r + U_r h + d_r)
        update    = sigmoid(W_u x + b_u + U_u h + d_u)
        candidate = tanh(W_c x + b_c + reset * (U_c h + d_c))
        h' = (1 - update) * candidate + update * h

    *update* is the share of the old state that is kept, the opposite of `GRU`. W and b are `input_weight`
    and `bias`, U and d `hidden_weight` and `hidden_bias`. The gates stand in PyTorch's order, so its
    kernels take the weights as they lie.
    """

    gates = ("reset", "update", "candidate")

    def step(self, affine: Any, h: Any) -> Any:
        reset = (affine.input("reset") + affine.hidden("reset", h)).sigmoid()
        update = (affine.input("update") + affine.hidden("update", h)).sigmoid()
        candidate = (affine.input("candidate") + reset * affine.hidden("candidate", h)).tanh()
        return (1 - update) * candidate + update * h
