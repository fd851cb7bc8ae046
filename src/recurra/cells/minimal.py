"""Gated cells whose gates and candidate see the input only (Feng et al. 2024, "Were RNNs All We Needed?").

Their new state is affine in the old one, with coefficients that no state enters. The paper computes all steps at
once by a scan, in logarithms; here the same equations, in their plain form, run step by step.
"""

from __future__ import annotations

from typing import Any

from recurra.cells.cell import Cell


class MinGRU(Cell):
    """The GRU without reset gate, hidden weights and tanh (Feng et al. 2024, section 3.1).

        update    = sigmoid(W_u x + b_u)
        candidate = W_c x + b_c
        h' = update * candidate + (1 - update) * h

    The paper's form in logarithms puts the candidate through a function that keeps it positive; this one does not.
    """

    gates = ("update", "candidate")

    def step(self, affine: Any, h: Any) -> Any:
        update = affine("update").sigmoid()
        candidate = affine("candidate")
        return update * candidate + (1 - update) * h


class MinLSTM(Cell):
    """The LSTM without output gate, hidden weights and tanh, its two gates normalised (Feng et al. 2024, section 3.2).

        update    = sigmoid(W_u x + b_u)
        forget    = sigmoid(W_f x + b_f)
        candidate = W_c x + b_c
        h' = (update * candidate + forget * h) / (update + forget)

    The memory is the state, so h is all there is. The gates as reported are those before they are divided by
    their sum. The forget bias starts at 1, as in `LSTM`.
    """

    gates = ("update", "forget", "candidate")
    initial_bias = {"forget": 1.0}

    def step(self, affine: Any, h: Any) -> Any:
        update = affine("update").sigmoid()
        forget = affine("forget").sigmoid()
        total = update + forget
        return update / total * affine("candidate") + forget / total * h
