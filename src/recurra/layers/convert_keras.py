"""Weights to and from Keras 3's `SimpleRNN`, `GRU` and `LSTM`; `convert.py` has the overview.

Keras is not imported: the arrays are laid out as in `keras/src/layers/rnn`.

I input, H hidden, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.errors import CellError, ShapeError
from recurra.layers.layouts import (
    Array,
    Block,
    blocks_of,
    build,
    cells_of,
    check_name,
    layouts_of,
    refuse_options,
    to_array,
    to_tensor,
)
from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation
from recurra.layers.variants import (
    Activation,
    Equations,
    elu,
    equations_like,
    hard_sigmoid_sixth,
    linear,
    relu,
    sigmoid,
    softplus,
    softsign,
    tanh,
)
from recurra.settings import PROBABILITY, check_number

ACTIVATIONS: dict[str, Activation] = {
    "tanh": tanh,
    "sigmoid": sigmoid,
    "relu": relu,
    "hard_sigmoid": hard_sigmoid_sixth,
    "elu": elu,
    "linear": linear,
    "softplus": softplus,
    "softsign": softsign,
}
NAMES = {function: name for name, function in ACTIVATIONS.items()}
KINDS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
LAYERS = {kind: layer for layer, kind in KINDS.items()}
ORDER = {
    "RNN": ("candidate",),
    "GRU": ("update", "reset", "candidate"),
    "LSTM": ("update", "forget", "candidate", "output"),
}
RECURRENT_ACTIVATION = "sigmoid"
HELD = ("regularisation.input_dropout", "regularisation.recurrent_dropout")


def from_keras(
    arrays: Sequence[Array],
    layer: str,
    reset_after: bool = True,
    bidirectional: bool = False,
    use_bias: bool = True,
    activation: str = "tanh",
    recurrent_activation: str = RECURRENT_ACTIVATION,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
) -> Recurrent:
    """The `Recurrent` of a Keras 3 layer, or of a stack of equal ones, from `layer.get_weights()`.

    The arguments after `layer` are the Keras layer's own, with its defaults; an initialiser, such as
    `unit_forget_bias`, has done its work. A layer with `go_backwards=True` converts as one without; give
    its input the other way round, `x.flip(1)`.

    Args:
        arrays: kernel `[I, G*H]`, recurrent_kernel `[H, G*H]` and bias `[G*H]` (GRU with reset_after:
            `[2, 3*H]`) of each layer; of `Bidirectional` the forward ones, then the backward ones.
            A stack's lists follow each other.
        layer: "SimpleRNN", "GRU" or "LSTM".
        reset_after: of a GRU.
        bidirectional: the layers are wrapped in `Bidirectional(merge_mode="concat")`.
        use_bias: whether there are biases.
        activation: "tanh", "sigmoid", "relu", "hard_sigmoid", "elu", "linear", "softplus" or "softsign".
        recurrent_activation: one of these; of a GRU or LSTM.
        dropout: a probability in [0, 1); it becomes `Regularisation.input_dropout`. Not with
            `bidirectional`, where Keras draws a mask for each direction and we one for both.
        recurrent_dropout: a probability in [0, 1); it becomes `Regularisation.recurrent_dropout`. Only of
            a SimpleRNN, since Keras draws a mask for each gate and we one for all.

    Raises:
        CellError: no such layer or activation, or dropout that differs from ours.
        ConfigError: a dropout is no probability.
        ShapeError: number, shapes or types of the arrays do not fit.
    """
    equations = _equations(layer, reset_after, activation, recurrent_activation)
    for name, rate in {"dropout": dropout, "recurrent_dropout": recurrent_dropout}.items():
        check_number(name, rate, float, **PROBABILITY)
    _check_dropout(layer, {"dropout": dropout, "recurrent_dropout": recurrent_dropout}, bidirectional)
    per_layer = (3 if use_bias else 2) * (2 if bidirectional else 1)
    if not arrays or len(arrays) % per_layer:
        raise ShapeError(
            f"arrays: expected {per_layer} for each layer with these options, got {len(arrays)} in all."
        )
    tensors = [to_tensor(array, f"arrays[{number}]") for number, array in enumerate(arrays)]
    two_biases = layer == "GRU" and reset_after
    layers = []
    for first in range(0, len(tensors), per_layer):
        of_layer = tensors[first : first + per_layer]
        step = 3 if use_bias else 2
        layers.append([_block(of_layer[at : at + step], two_biases) for at in range(0, per_layer, step)])
    regularisation = Regularisation(input_dropout=dropout, recurrent_dropout=recurrent_dropout)
    return build(layouts_of(equations, ORDER)[0], layers, regularisation=regularisation)


def _equations(layer: str, reset_after: bool, activation: str, recurrent_activation: str) -> Equations:
    check_name("layer", layer, KINDS)
    check_name("activation", activation, ACTIVATIONS)
    check_name("recurrent_activation", recurrent_activation, ACTIVATIONS)
    if layer == "SimpleRNN":
        if recurrent_activation != RECURRENT_ACTIVATION:
            raise CellError(
                f"recurrent_activation: a SimpleRNN has none, got {recurrent_activation!r}; leave it out."
            )
        return Equations("RNN", (ACTIVATIONS[activation],))
    f, g = ACTIVATIONS[recurrent_activation], ACTIVATIONS[activation]
    return (
        Equations("GRU", (f, g), reset_after=reset_after) if layer == "GRU" else Equations("LSTM", (f, g, g))
    )


def _check_dropout(layer: str, rates: dict[str, float], bidirectional: bool) -> None:
    """Raises CellError where Keras's masks and ours differ; `rates` are those of input and recurrent operand."""
    (on_input, rate), (on_recurrent, recurrent_rate) = rates.items()
    if rate and bidirectional:
        raise CellError(
            f"{on_input}: Keras draws a mask for each direction and Recurrent one for both, got {rate!r} with "
            "bidirectional; use 0."
        )
    if recurrent_rate and layer != "SimpleRNN":
        raise CellError(
            f"{on_recurrent}: Keras's {layer} draws a mask for each gate and Recurrent one for all, got "
            f"{recurrent_rate!r}; use 0."
        )


def _block(tensors: Sequence[Tensor], two_biases: bool) -> Block:
    kernel, recurrent_kernel, *rest = tensors
    for name, tensor in {"kernel": kernel, "recurrent_kernel": recurrent_kernel}.items():
        if tensor.ndim != 2:
            raise ShapeError(f"arrays: expected a {name} of two axes, got shape {list(tensor.shape)}.")
    if not rest:
        return Block(kernel.T, recurrent_kernel.T)
    bias = rest[0]
    if bias.ndim != (2 if two_biases else 1):
        expected = "[2, 3*H] (reset_after=True)" if two_biases else "of one axis (a GRU's: reset_after=False)"
        raise ShapeError(f"arrays: expected a bias {expected}, got shape {list(bias.shape)}.")
    if not two_biases:
        return Block(kernel.T, recurrent_kernel.T, bias)
    if bias.shape[0] != 2:
        raise ShapeError(
            f"arrays: expected a bias [2, 3*H] (reset_after=True), got shape {list(bias.shape)}."
        )
    return Block(kernel.T, recurrent_kernel.T, bias[0], bias[1])


def to_keras(rnn: Recurrent) -> list[Array]:
    """The weights of `rnn` in the order and layout of `from_keras`, for `layer.set_weights()`.

    What the layer has to be made with, `keras_arguments(rnn)` says.

    Raises:
        CellError: Keras has no layer for the cell or for an option of `rnn`, or the layers' cells differ.
    """
    equations, layers = _read(rnn, "to_keras")
    arrays = []
    for block in (block for directions in layers for block in directions):
        arrays += [block.input_weight.T, block.hidden_weight.T]
        if block.bias is not None and block.hidden_bias is not None:
            biases = torch.stack([block.bias, block.hidden_bias])
            arrays.append(biases if equations.reset_after else biases.sum(0))
    return [to_array(tensor, "to_keras") for tensor in arrays]


def keras_arguments(rnn: Recurrent) -> dict[str, Any]:
    """The arguments of `from_keras` that say with `to_keras(rnn)` what `rnn` computes.

    All but `layer` and `bidirectional` are arguments of the Keras layer itself. Those that a layer does
    not have (a SimpleRNN's `recurrent_activation`) are left out.

    Raises:
        CellError: as `to_keras`.
    """
    equations, layers = _read(rnn, "keras_arguments")
    layer, activations = LAYERS[equations.kind], [NAMES[function] for function in equations.activations]
    arguments: dict[str, Any] = {
        "layer": layer,
        "bidirectional": rnn.bidirectional,
        "use_bias": layers[0][0].bias is not None,
        "activation": activations[-1],
        "dropout": rnn.regularisation.input_dropout,
        "recurrent_dropout": rnn.regularisation.recurrent_dropout,
    }
    if layer != "SimpleRNN":
        arguments["recurrent_activation"] = activations[0]
    if layer == "GRU":
        arguments["reset_after"] = equations.reset_after
    return arguments


def _read(rnn: Recurrent, function: str) -> tuple[Equations, list[list[Block]]]:
    refuse_options(rnn, function, "a Keras layer", HELD)
    candidates = (
        equations
        for equations in equations_like(cells_of(rnn)[0][0].program, ACTIVATIONS.values())
        if equations.clip is None and not equations.peepholes and not equations.coupled
        if equations.kind != "LSTM" or equations.activations[1] == equations.activations[2]
    )
    refusal = (
        "a Keras layer computes Elman, GRU, GRUResetAfter and LSTM with an activation of "
        f"{', '.join(ACTIVATIONS)}"
    )
    equations, layers = blocks_of(rnn, candidates, ORDER, function, refusal)
    rates = {f"{function}: {name}": getattr(rnn.regularisation, name.partition(".")[2]) for name in HELD}
    _check_dropout(LAYERS[equations.kind], rates, rnn.bidirectional)
    return equations, layers
