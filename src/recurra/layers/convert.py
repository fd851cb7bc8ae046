"""Weights to and from PyTorch modules, Keras 3 weight lists and ONNX operators.

Neither Keras nor ONNX is imported: their weights come and go as numpy arrays, laid out as their
specifications say (`keras/src/layers/rnn`, ONNX operators RNN, GRU and LSTM, opset 22).

What differs between the systems, and is settled here:

    system                        our cell         gate order                         update gate
    nn.RNN, SimpleRNN, ONNX RNN   Elman, ReluElman candidate
    nn.GRU                        GRUResetAfter    reset update candidate             share of the old state
    Keras GRU, reset_after        GRUResetAfter    update reset candidate             share of the old state
    Keras GRU, not reset_after    GRU              update reset candidate             share of the old state
    ONNX GRU                      as Keras, by linear_before_reset
    nn.LSTM, Keras LSTM           LSTM             update forget candidate output
    ONNX LSTM                     LSTM             update output forget candidate
    ONNX LSTM with input_forget   CoupledLSTM      update output forget candidate, forget not read
    ONNX LSTM with P              PeepholeLSTM     P: update output forget

`GRU` has the textbooks' sign (update is the share of the candidate), so its update rows and bias are
negated on the way: 1 - sigmoid(a) = sigmoid(-a). Where a system has two biases and our cell has one,
the sum is taken; on the way back the second is zero. Other activations, and ONNX's clip, give a variant
of these cells (`variants.py`). A cell is recognised by what its program computes, not by its class, so a
user's own cell with the same equations converts too.

Each system has a file of its own; the names here are the public ones. Whatever a system or `Recurrent`
cannot hold raises; nothing is left out without a word.
"""

from __future__ import annotations

from recurra.layers.convert_keras import (
    from_keras as from_keras,
    keras_arguments as keras_arguments,
    to_keras as to_keras,
)
from recurra.layers.convert_onnx import (
    OnnxOperator as OnnxOperator,
    from_onnx as from_onnx,
    to_onnx as to_onnx,
)
from recurra.layers.convert_torch import (
    from_torch as from_torch,
    state_from_torch as state_from_torch,
    state_to_torch as state_to_torch,
    to_torch as to_torch,
)

__all__ = [
    "OnnxOperator",
    "from_keras",
    "from_onnx",
    "from_torch",
    "keras_arguments",
    "state_from_torch",
    "state_to_torch",
    "to_keras",
    "to_onnx",
    "to_torch",
]
