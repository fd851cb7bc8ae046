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
    ONNX LSTM with P              PeepholeLSTM     P: update output forget

`GRU` has the textbooks' sign (update is the share of the candidate), so its update rows and bias are
negated on the way: 1 - sigmoid(a) = sigmoid(-a). Where a system has two biases and our cell has one,
the sum is taken; on the way back the second is zero. A cell is recognised by what its program computes,
not by its class, so a user's own cell with the same equations converts too.

I input, H hidden, G gates, D directions, L layers, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells import GRU, LSTM, CoursePeepholeLSTM, Elman, GRUResetAfter, PeepholeLSTM, ReluElman
from recurra.contracts import State
from recurra.errors import CellError, ShapeError, StateError
from recurra.layers.layouts import (
    Array,
    Block,
    Layout,
    blocks_of,
    build,
    cells_of,
    choose,
    program_of,
    to_array,
    to_tensor,
)
from recurra.layers.recurrent import Recurrent


@dataclass(frozen=True)
class OnnxOperator:
    """One ONNX RNN, GRU or LSTM operator's weights, under the names of the ONNX specification.

    Attributes:
        op_type: "RNN", "GRU" or "LSTM".
        W: `[D, G*H, I]`; D is 1 (direction "forward") or 2 ("bidirectional").
        R: `[D, G*H, H]`.
        B: `[D, 2*G*H]`, W's biases and then R's; None stands for zeros, as in ONNX.
        P: peepholes `[D, 3*H]` of an LSTM, in the order update, output, forget; None without.
        linear_before_reset: of a GRU: 1 for `GRUResetAfter`, 0 (ONNX's default) for `GRU`.
        activation: of an RNN: "Tanh" or "Relu". GRU and LSTM have ONNX's default activations.
    """

    op_type: str
    W: Array
    R: Array
    B: Array | None = None
    P: Array | None = None
    linear_before_reset: int = 0
    activation: str = "Tanh"


TORCH: dict[tuple[str, str], Layout] = {
    ("RNN", "tanh"): Layout(Elman, ("candidate",)),
    ("RNN", "relu"): Layout(ReluElman, ("candidate",)),
    ("GRU", ""): Layout(GRUResetAfter, ("reset", "update", "candidate")),
    ("LSTM", ""): Layout(LSTM, ("update", "forget", "candidate", "output")),
}
# (layer, activation, reset_after)
KERAS: dict[tuple[str, str, bool], Layout] = {
    ("SimpleRNN", "tanh", True): Layout(Elman, ("candidate",)),
    ("SimpleRNN", "relu", True): Layout(ReluElman, ("candidate",)),
    ("GRU", "tanh", True): Layout(GRUResetAfter, ("update", "reset", "candidate")),
    ("GRU", "tanh", False): Layout(GRU, ("update", "reset", "candidate"), negated=("update",)),
    ("LSTM", "tanh", True): Layout(LSTM, ("update", "forget", "candidate", "output")),
}
# (op_type, activation, linear_before_reset, has P)
ONNX: dict[tuple[str, str, int, bool], Layout] = {
    ("RNN", "Tanh", 0, False): Layout(Elman, ("candidate",)),
    ("RNN", "Relu", 0, False): Layout(ReluElman, ("candidate",)),
    ("GRU", "Tanh", 1, False): Layout(GRUResetAfter, ("update", "reset", "candidate")),
    ("GRU", "Tanh", 0, False): Layout(GRU, ("update", "reset", "candidate"), negated=("update",)),
    ("LSTM", "Tanh", 0, False): Layout(LSTM, ("update", "output", "forget", "candidate")),
    ("LSTM", "Tanh", 0, True): Layout(PeepholeLSTM, ("update", "output", "forget", "candidate")),
}
ONNX_PEEPHOLES = ("update", "output", "forget")
TORCH_MODULES: dict[str, Any] = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}


# --- PyTorch ------------------------------------------------------------------------------------------


def from_torch(module: nn.Module) -> Recurrent:
    """The `Recurrent` that computes what an `nn.RNN`, `nn.GRU` or `nn.LSTM` computes.

    `Recurrent` is always batch first; a module with `batch_first=False` converts all the same, and its
    inputs `[T, B, I]` become `x.transpose(0, 1)`. For its states see `state_from_torch`.

    Args:
        module: any depth, one or two directions, with or without biases; dropout is taken over.

    Raises:
        CellError: another module, or a projected LSTM (`proj_size`).
    """
    if type(module) not in TORCH_MODULES.values():
        raise CellError(f"module: expected an nn.RNN, nn.GRU or nn.LSTM, got {type(module).__name__}.")
    assert isinstance(module, nn.RNNBase)
    if module.proj_size:
        raise CellError(
            f"module: proj_size={module.proj_size} has no counterpart, since outputs and states are "
            "hidden_size wide; train an nn.LSTM with proj_size=0."
        )
    kind = type(module).__name__
    layout = TORCH[kind, module.nonlinearity if isinstance(module, nn.RNN) else ""]
    parameters = dict(module.named_parameters())
    suffixes = ("", "_reverse") if module.bidirectional else ("",)
    layers = [
        [
            Block(
                parameters[f"weight_ih_l{layer}{suffix}"],
                parameters[f"weight_hh_l{layer}{suffix}"],
                parameters.get(f"bias_ih_l{layer}{suffix}"),
                parameters.get(f"bias_hh_l{layer}{suffix}"),
            )
            for suffix in suffixes
        ]
        for layer in range(module.num_layers)
    ]
    dropout = module.dropout if module.num_layers > 1 else 0.0  # which a single layer does not use
    return build(layout, layers, dropout).train(module.training)


def to_torch(rnn: Recurrent, batch_first: bool = True) -> nn.RNNBase:
    """The `nn.RNN`, `nn.GRU` or `nn.LSTM` that computes what `rnn` computes.

    Raises:
        CellError: PyTorch has no module for the cell or for an option of `rnn`.
        ShapeError: the layers differ in width.
    """
    (kind, nonlinearity), layers = blocks_of(rnn, TORCH, "to_torch", "an nn module")
    if len(set(rnn.hidden_sizes)) > 1:
        raise ShapeError(f"to_torch: an nn.{kind} has one hidden_size, but rnn has {list(rnn.hidden_sizes)}.")
    extra = {"nonlinearity": nonlinearity} if nonlinearity else {}
    first = layers[0][0]
    module = TORCH_MODULES[kind](
        rnn.input_size,
        first.hidden_size,
        rnn.num_layers,
        bias=first.bias is not None,
        batch_first=batch_first,
        dropout=rnn.dropout,
        bidirectional=rnn.bidirectional,
        **extra,
    ).to(first.input_weight)
    with torch.no_grad():
        for layer, directions in enumerate(layers):
            for block, suffix in zip(directions, ("", "_reverse"), strict=False):
                named = {
                    "weight_ih": block.input_weight,
                    "weight_hh": block.hidden_weight,
                    "bias_ih": block.bias,
                    "bias_hh": block.hidden_bias,
                }
                for name, value in named.items():
                    if value is not None:
                        getattr(module, f"{name}_l{layer}{suffix}").copy_(value)
    return module.train(rnn.training)


def state_from_torch(state: Tensor | tuple[Tensor, Tensor], bidirectional: bool = False) -> State:
    """PyTorch's `h` `[L*D, B, H]`, or `(h, c)` of an LSTM, as a `State`.

    Raises:
        StateError: the tensors are not of that shape.
    """
    tensors = dict(zip(("h", "c"), (state,) if isinstance(state, Tensor) else state, strict=False))
    directions = 2 if bidirectional else 1
    shapes = {tuple(tensor.shape) for tensor in tensors.values()}
    shape = next(iter(shapes))
    if len(shapes) > 1 or len(shape) != 3 or shape[0] % directions:
        found = " and ".join(str(list(tensor.shape)) for tensor in tensors.values())
        raise StateError(
            f"state: expected [layers * {directions}, batch, hidden] for h (and c), got {found}."
        )
    return State(
        tuple(
            tuple(
                {name: tensor[first + direction] for name, tensor in tensors.items()}
                for direction in range(directions)
            )
            for first in range(0, shape[0], directions)
        )
    )


def state_to_torch(state: State) -> Tensor | tuple[Tensor, ...]:
    """A `State` as PyTorch's `h` `[L*D, B, H]`, or `(h, c)`.

    Raises:
        StateError: the layers differ in width.
    """
    flat = [states for directions in state.layers for states in directions]
    widths = {tensor.shape[-1] for states in flat for tensor in states.values()}
    if len(widths) > 1:
        raise StateError(f"state: PyTorch's layers are equally wide, but these are {sorted(widths)} wide.")
    tensors = tuple(torch.stack([states[name] for states in flat]) for name in flat[0])
    return tensors if len(tensors) > 1 else tensors[0]


# --- Keras 3 ------------------------------------------------------------------------------------------


def from_keras(
    arrays: Sequence[Array],
    layer: str,
    reset_after: bool = True,
    bidirectional: bool = False,
    use_bias: bool = True,
    activation: str = "tanh",
) -> Recurrent:
    """The `Recurrent` of a Keras 3 layer, or of a stack of equal ones, from `layer.get_weights()`.

    Args:
        arrays: kernel `[I, G*H]`, recurrent_kernel `[H, G*H]` and bias `[G*H]` (GRU with reset_after:
            `[2, 3*H]`) of each layer; of `Bidirectional` the forward ones, then the backward ones.
            A stack's lists follow each other.
        layer: "SimpleRNN", "GRU" or "LSTM".
        reset_after: of a GRU, Keras's default True.
        bidirectional: the layers are wrapped in `Bidirectional(merge_mode="concat")`.
        use_bias: as in Keras.
        activation: of a SimpleRNN, "tanh" or "relu"; GRU and LSTM must have Keras's default activations.

    Raises:
        CellError: no such layer.
        ShapeError: number or shapes of the arrays do not fit.
    """
    layout = choose(KERAS, (layer, activation, reset_after or layer != "GRU"), "layer")
    per_layer = (3 if use_bias else 2) * (2 if bidirectional else 1)
    if not arrays or len(arrays) % per_layer:
        raise ShapeError(
            f"arrays: expected {per_layer} for each layer with these options, got {len(arrays)} in all."
        )
    tensors = [to_tensor(array, f"arrays[{number}]") for number, array in enumerate(arrays)]
    two_biases = layer == "GRU" and reset_after
    layers = []
    for first in range(0, len(tensors), per_layer):
        own = tensors[first : first + per_layer]
        step = 3 if use_bias else 2
        layers.append([_keras_block(own[at : at + step], two_biases) for at in range(0, per_layer, step)])
    return build(layout, layers)


def _keras_block(tensors: Sequence[Tensor], two_biases: bool) -> Block:
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

    Raises:
        CellError: Keras has no layer for the cell or for an option of `rnn`.
    """
    (layer, _, reset_after), layers = blocks_of(rnn, KERAS, "to_keras", "a Keras layer")
    arrays = []
    for block in (block for directions in layers for block in directions):
        arrays += [block.input_weight.T, block.hidden_weight.T]
        if block.bias is not None and block.hidden_bias is not None:
            biases = torch.stack([block.bias, block.hidden_bias])
            arrays.append(biases if layer == "GRU" and reset_after else biases.sum(0))
    return [to_array(tensor) for tensor in arrays]


# --- ONNX ---------------------------------------------------------------------------------------------


def from_onnx(*operators: OnnxOperator) -> Recurrent:
    """The `Recurrent` of one ONNX operator, or of a stack of operators of one kind, the lowest first.

    Args:
        operators: one for each layer; all of the same type, attributes and directions.

    Raises:
        CellError: no cell computes that operator, or the operators are of different kinds.
        ShapeError: the arrays do not fit.
    """
    kinds = {(o.op_type, o.activation, o.linear_before_reset, o.P is not None) for o in operators}
    if len(kinds) != 1:
        raise CellError(f"operators: expected one or more of one kind, got {sorted(kinds) or 'none'}.")
    layout = choose(ONNX, kinds.pop(), "operators")
    biased = any(operator.B is not None for operator in operators)
    return build(layout, [_onnx_blocks(operator, len(layout.gates), biased) for operator in operators])


def _onnx_blocks(operator: OnnxOperator, gates: int, biased: bool) -> list[Block]:
    weight, recurrence = to_tensor(operator.W, "W"), to_tensor(operator.R, "R")
    if weight.ndim != 3 or recurrence.ndim != 3 or weight.shape[0] not in (1, 2):
        found = f"W {list(weight.shape)} and R {list(recurrence.shape)}"
        raise ShapeError(
            f"operators: expected W [D, {gates}*H, I] and R [D, {gates}*H, H], D 1 or 2, got {found}."
        )
    directions, hidden = weight.shape[0], recurrence.shape[2]
    shapes = {
        "R": (recurrence, (directions, gates * hidden, hidden)),
        "B": (None if operator.B is None else to_tensor(operator.B, "B"), (directions, 2 * gates * hidden)),
        "P": (None if operator.P is None else to_tensor(operator.P, "P"), (directions, 3 * hidden)),
    }
    for name, (tensor, shape) in shapes.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ShapeError(f"{name}: expected {list(shape)} beside this W and R, got {list(tensor.shape)}.")
    bias, peepholes = shapes["B"][0], shapes["P"][0]
    if bias is None and biased:
        bias = weight.new_zeros(directions, 2 * gates * hidden)
    blocks = []
    for direction in range(directions):
        half, other_half = (None, None) if bias is None else bias[direction].chunk(2)
        vectors = {}
        if peepholes is not None:
            vectors = dict(zip(ONNX_PEEPHOLES, peepholes[direction].chunk(3), strict=True))
        blocks.append(Block(weight[direction], recurrence[direction], half, other_half, vectors))
    return blocks


def to_onnx(rnn: Recurrent) -> list[OnnxOperator]:
    """One ONNX operator for each layer of `rnn`, the lowest first.

    Between layers, ONNX's output `[T, D, B, H]` is to be transposed and reshaped to `[T, B, D*H]`.

    Raises:
        CellError: ONNX has no operator for the cell or for an option of `rnn`.
    """
    first = cells_of(rnn)[0][0]
    if first.program.canonical == program_of(CoursePeepholeLSTM).canonical:
        raise CellError(
            "to_onnx: ONNX's peepholes are Gers's, whose output gate sees the new memory; in "
            f"{type(first).__name__} it sees the old one. Use PeepholeLSTM."
        )
    key, layers = blocks_of(rnn, ONNX, "to_onnx", "an ONNX operator")
    op_type, activation, linear_before_reset, has_peepholes = key
    operators = []
    for blocks in layers:
        biases = [
            torch.cat([b.bias, b.hidden_bias])
            for b in blocks
            if b.bias is not None and b.hidden_bias is not None
        ]
        peepholes = [torch.cat([b.vectors[gate] for gate in ONNX_PEEPHOLES]) for b in blocks if has_peepholes]
        operators.append(
            OnnxOperator(
                op_type,
                to_array(torch.stack([block.input_weight for block in blocks])),
                to_array(torch.stack([block.hidden_weight for block in blocks])),
                to_array(torch.stack(biases)) if biases else None,
                to_array(torch.stack(peepholes)) if peepholes else None,
                linear_before_reset,
                activation,
            )
        )
    return operators
