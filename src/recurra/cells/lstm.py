"""Long short-term memory: plain, with coupled gates, with peepholes, and with layer norm.

`update` is what many papers call the input gate.
"""

from __future__ import annotations

from typing import Any

from recurra.cells.cell import Cell


class LSTM(Cell):
    """Long short-term memory with a forget gate (Hochreiter & Schmidhuber 1997; Gers 2000).

        update    = sigmoid(W_u [h, x] + b_u)
        forget    = sigmoid(W_f [h, x] + b_f)
        output    = sigmoid(W_o [h, x] + b_o)
        candidate = tanh(W_c [h, x] + b_c)
        c' = update * candidate + forget * c
        h' = output * tanh(c')

    The gates stand in PyTorch's order. The forget bias starts at 1 (Jozefowicz 2015).
    """

    gates = ("update", "forget", "candidate", "output")
    initial_bias = {"forget": 1.0}
    state = ("h", "c")

    def step(self, affine: Any, h: Any, c: Any) -> Any:
        update = affine("update", h).sigmoid()
        forget = affine("forget", h).sigmoid()
        output = affine("output", h).sigmoid()
        candidate = affine("candidate", h).tanh()
        c = update * candidate + forget * c
        return output * c.tanh(), c


class CoupledLSTM(Cell):
    """LSTM in which what is forgotten makes room for what is admitted (Greff et al. 2017, "CIFG").

        update    = sigmoid(W_u [h, x] + b_u)
        output    = sigmoid(W_o [h, x] + b_o)
        candidate = tanh(W_c [h, x] + b_c)
        c' = update * candidate + (1 - update) * c
        h' = output * tanh(c')

    The update bias starts at -1, which is a forget bias of 1. The paper's variant has peepholes; this has none.
    """

    gates = ("update", "candidate", "output")
    initial_bias = {"update": -1.0}
    state = ("h", "c")

    def step(self, affine: Any, h: Any, c: Any) -> Any:
        update = affine("update", h).sigmoid()
        output = affine("output", h).sigmoid()
        candidate = affine("candidate", h).tanh()
        c = update * candidate + (1 - update) * c
        return output * c.tanh(), c


class PeepholeLSTM(Cell):
    """LSTM with peepholes (Gers & Schmidhuber 2000, "Recurrent nets that time and count").

        update    = sigmoid(W_u [h, x] + p_u * c + b_u)
        forget    = sigmoid(W_f [h, x] + p_f * c + b_f)
        candidate = tanh(W_c [h, x] + b_c)
        c' = update * candidate + forget * c
        output    = sigmoid(W_o [h, x] + p_o * c' + b_o)
        h' = output * tanh(c')

    Update and forget see the old memory, output sees the new one. The peepholes p start at 0.
    """

    gates = ("update", "forget", "candidate", "output")
    vectors = ("update", "forget", "output")
    initial_bias = {"forget": 1.0}
    initial_vector = {"update": 0.0, "forget": 0.0, "output": 0.0}
    state = ("h", "c")

    def step(self, affine: Any, h: Any, c: Any) -> Any:
        update = (affine("update", h) + affine.vector("update") * c).sigmoid()
        forget = (affine("forget", h) + affine.vector("forget") * c).sigmoid()
        candidate = affine("candidate", h).tanh()
        c = update * candidate + forget * c
        output = (affine("output", h) + affine.vector("output") * c).sigmoid()
        return output * c.tanh(), c


class CoursePeepholeLSTM(PeepholeLSTM):
    """LSTM with peepholes as the course writes it: all three gates see the old memory.

    update    = sigmoid(W_u [h, x] + p_u * c + b_u)
    forget    = sigmoid(W_f [h, x] + p_f * c + b_f)
    output    = sigmoid(W_o [h, x] + p_o * c + b_o)
    candidate = tanh(W_c [h, x] + b_c)
    c' = update * candidate + forget * c
    h' = output * tanh(c')
    """

    def step(self, affine: Any, h: Any, c: Any) -> Any:
        update = (affine("update", h) + affine.vector("update") * c).sigmoid()
        forget = (affine("forget", h) + affine.vector("forget") * c).sigmoid()
        output = (affine("output", h) + affine.vector("output") * c).sigmoid()
        candidate = affine("candidate", h).tanh()
        c = update * candidate + forget * c
        return output * c.tanh(), c


class LayerNormLSTM(Cell):
    """LSTM in which each gate's pre-activation and the new memory are layer-normalised.

        update    = sigmoid(norm_u(W_u [h, x]))
        forget    = sigmoid(norm_f(W_f [h, x]))
        output    = sigmoid(norm_o(W_o [h, x]))
        candidate = tanh(norm_c(W_c [h, x]))
        c' = update * candidate + forget * c
        h' = output * tanh(norm_m(c'))

    Each norm has a gain (1) and a shift (0; forget 1) of its own, eps 1e-5, and there is no further bias.
    Ba, Kiros & Hinton 2016 (equations 20 to 22) differ: they normalise W_h h and W_x x apart, each over
    all four gates together, and add one bias to the sum.
    """

    gates = ("update", "forget", "candidate", "output")
    norms = ("update", "forget", "candidate", "output", "memory")
    initial_bias = {"forget": 1.0}
    has_bias = False
    state = ("h", "c")

    def step(self, affine: Any, h: Any, c: Any) -> Any:
        update = affine.norm("update", affine("update", h)).sigmoid()
        forget = affine.norm("forget", affine("forget", h)).sigmoid()
        output = affine.norm("output", affine("output", h)).sigmoid()
        candidate = affine.norm("candidate", affine("candidate", h)).tanh()
        c = update * candidate + forget * c
        return output * affine.norm("memory", c).tanh(), c
