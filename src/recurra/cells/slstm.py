"""The xLSTM's scalar memory: an LSTM whose update gate is an exponential."""

from __future__ import annotations

from typing import Any

import torch

from recurra.cells.cell import Cell


class SLSTM(Cell):
    """The sLSTM of the xLSTM (Beck et al. 2024, equations 8 to 17), with the sigmoid as forget gate.

        update    = exp(W_u [h, x] + b_u)
        forget    = sigmoid(W_f [h, x] + b_f)
        output    = sigmoid(W_o [h, x] + b_o)
        candidate = tanh(W_c [h, x] + b_c)
        c' = update * candidate + forget * c
        n' = update + forget * n
        h' = output * c' / n'

    So that no exponential overflows, what the states c and n hold is those of the equations times e^-m, where
    the stabiliser m' = max(log(forget) + m, log(update)); h' is the same. n is 0 where nothing has been
    admitted yet, and there m' = log(update). From then on n is at least 1; the division
    clamps it to 1, for starts that are learned or random. `update` is reported by its logarithm, W_u [h, x] + b_u.

    The hidden weights are full matrices, where the paper has a block per head. The forget bias starts at 1, where
    the paper spreads it over the units.
    """

    gates = ("update", "forget", "candidate", "output")
    initial_bias = {"forget": 1.0}
    state = ("h", "c", "n", "m")

    def step(self, affine: Any, h: Any, c: Any, n: Any, m: Any) -> Any:
        log_update = affine("update", h)
        forget = affine("forget", h).sigmoid()
        output = affine("output", h).sigmoid()
        candidate = affine("candidate", h).tanh()
        # A forget gate that is 0 to the last bit has no logarithm.
        log_kept = torch.where(n > 0, forget.clamp(min=1e-30).log() + m, log_update)
        m = torch.maximum(log_kept, log_update)
        update, kept = (log_update - m).exp(), (log_kept - m).exp()
        c = update * candidate + kept * c
        n = update + kept * n
        return output * c / n.clamp(min=1.0), c, n, m
