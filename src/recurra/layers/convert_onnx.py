"""Weights to and from the ONNX operators RNN, GRU and LSTM (opset 22); `convert.py` has the overview.

ONNX is not imported: the arrays and attributes are those of the specification.

I input, H hidden, G gates, D directions, B batch, T time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from recurra.cells import CoursePeepholeLSTM
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
from recurra.layers.variants import (
    Activation,
    Equations,
    elu,
    equations_like,
    hard_sigmoid_fifth,
    leaky_relu,
    program_of,
    relu,
    sigmoid,
    softplus,
    softsign,
    tanh,
)

ACTIVATIONS: dict[str, Activation] = {
    "Tanh": tanh,
    "Relu": relu,
    "Sigmoid": sigmoid,
    "HardSigmoid": hard_sigmoid_fifth,
    "Elu": elu,
    "LeakyRelu": leaky_relu,
    "Softplus": softplus,
    "Softsign": softsign,
}
NAMES = {function: name for name, function in ACTIVATIONS.items()}
# What these take of activation_alpha and activation_beta, and its default: that of the operator of this name.
ALPHA = {"HardSigmoid": 0.2, "Elu": 1.0, "LeakyRelu": 0.01}
BETA = {"HardSigmoid": 0.5}
DEFAULT_ACTIVATIONS = {
    "RNN": ("Tanh",),
    "GRU": ("Sigmoid", "Tanh"),
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
}
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
ORDER = {
    "RNN": ("candidate",),
    "GRU": ("update", "reset", "candidate"),
    "LSTM": ("update", "output", "forget", "candidate"),
}
PEEPHOLES = ("update", "output", "forget")


@dataclass(frozen=True)
class OnnxOperator:
    """One ONNX RNN, GRU or LSTM operator: its weights and attributes, under the specification's names.

    What is left out has the specification's default; `direction` and `activations` are filled in.

    Attributes:
        op_type: "RNN", "GRU" or "LSTM".
        W: `[D, G*H, I]`; D is 2 where `direction` is "bidirectional", and otherwise 1.
        R: `[D, G*H, H]`.
        B: `[D, 2*G*H]`, W's biases and then R's; None stands for zeros, as in ONNX.
        P: peepholes `[D, 3*H]` of an LSTM, in the order update, output, forget; None without.
        linear_before_reset: of a GRU: 1 for `GRUResetAfter`, 0 for `GRU`.
        direction: "forward", "reverse" or "bidirectional"; left out, the D of W decides between the first
            and the last.
        layout: 0 where the operator's X is `[T, B, I]`, 1 where it is `[B, T, I]`.
        clip: the bound on what the activations of gates and candidate are given, greater than 0; None for
            no bound.
        input_forget: of an LSTM: 1 couples the gates, forget = 1 - update, and the rows of forget are not read.
        activations: "Tanh", "Relu", "Sigmoid", "HardSigmoid", "Elu", "LeakyRelu", "Softplus" or "Softsign":
            one of an RNN; two of a GRU (gates, candidate); three of an LSTM (gates, candidate, memory); of both
            directions, the forward ones first.
        activation_alpha, activation_beta: None, or the defaults of these activations in their order.

    Raises:
        CellError: an attribute is not among these values, or belongs to another operator.
        ShapeError: W has another D than `direction`.
    """

    op_type: str
    W: Array
    R: Array
    B: Array | None = None
    P: Array | None = None
    linear_before_reset: int = 0
    direction: str = ""
    layout: int = 0
    clip: float | None = None
    input_forget: int = 0
    activations: Sequence[str] | None = None
    activation_alpha: Sequence[float] | None = None
    activation_beta: Sequence[float] | None = None

    def __post_init__(self) -> None:
        check_name("op_type", self.op_type, DEFAULT_ACTIVATIONS)
        if not self.direction:
            two = np.ndim(self.W) == 3 and np.shape(self.W)[0] == 2
            object.__setattr__(self, "direction", "bidirectional" if two else "forward")
        self._check_numbers()
        self._check_direction()
        defaults = DEFAULT_ACTIVATIONS[self.op_type] * DIRECTIONS[self.direction]
        activations = defaults if self.activations is None else tuple(self.activations)
        object.__setattr__(self, "activations", activations)
        if len(activations) != len(defaults):
            raise CellError(
                f"activations: {self.op_type} with direction {self.direction!r} has {len(defaults)}, "
                f"got {list(activations)}."
            )
        for name in activations:
            check_name("activations", name, ACTIVATIONS)
        self._check_parameters("activation_alpha", ALPHA)
        self._check_parameters("activation_beta", BETA)

    def _check_numbers(self) -> None:
        for name in ("layout", "input_forget", "linear_before_reset"):
            if getattr(self, name) not in (0, 1):
                raise CellError(f"{name}: expected 0 or 1, got {getattr(self, name)!r}.")
        for name, op_type, given in (
            ("input_forget", "LSTM", bool(self.input_forget)),
            ("P", "LSTM", self.P is not None),
            ("linear_before_reset", "GRU", bool(self.linear_before_reset)),
        ):
            if given and self.op_type != op_type:
                raise CellError(f"{name}: belongs to {op_type} and {self.op_type} has none; leave it out.")
        if self.clip is not None and not 0.0 < self.clip < math.inf:
            raise CellError(f"clip: expected a number greater than 0, or None, got {self.clip!r}.")

    def _check_direction(self) -> None:
        check_name("direction", self.direction, DIRECTIONS)
        expected = DIRECTIONS[self.direction]
        if np.ndim(self.W) == 3 and np.shape(self.W)[0] != expected:
            raise ShapeError(
                f"W: direction {self.direction!r} has {expected} on the first axis, got {list(np.shape(self.W))}."
            )

    def _check_parameters(self, name: str, defaults: dict[str, float]) -> None:
        """None, or the defaults, which become None; ONNX hands them out to those activations that take one."""
        given = getattr(self, name)
        expected = [defaults[one] for one in self.activations or () if one in defaults]
        if given is not None and not (
            len(given) == len(expected) and np.allclose(given, expected, rtol=1e-6, atol=0.0)
        ):
            raise CellError(
                f"{name}: only the defaults convert, {expected} with these activations, got {list(given)}."
            )
        object.__setattr__(self, name, None)


# --- from ONNX ----------------------------------------------------------------------------------------


def from_onnx(*operators: OnnxOperator) -> Recurrent:
    """The `Recurrent` of one ONNX operator, or of a stack of operators of one kind, the lowest first.

    `Recurrent` is always batch first: an X `[T, B, I]` (`layout=0`) becomes `x.transpose(0, 1)`, and
    sequence_lens is `lengths`. The operators' initial_h, `[D, B, H]` (with `layout=1` first transposed to
    that), one after the other along the first axis, and initial_c likewise, are what `state_from_torch`
    takes.

    With `clip`, what h is given of an LSTM's memory is not bounded, as in ONNX Runtime. With `input_forget`,
    the rows of forget are dropped.

    Args:
        operators: one for each layer; all of the same type, attributes and directions.

    Raises:
        CellError: the operators are of different kinds, reversed, or of different activations in their
            two directions.
        ShapeError: the arrays do not fit.
    """
    kinds = {(_equations(o), o.direction, o.layout) for o in operators}
    if len(kinds) != 1:
        given = "; ".join(_shown(operator) for operator in operators) or "none"
        raise CellError(f"operators: expected one or more of one kind, got {given}.")
    ((equations, direction, _),) = kinds
    if direction == "reverse":
        raise CellError(
            'operators: direction "reverse" has no counterpart, since a layer in one direction runs forwards; convert '
            'it with direction "forward", and reverse the steps of each row of the input and of the outputs.'
        )
    for operator in operators:
        names = tuple(operator.activations or ())
        if direction == "bidirectional" and names[: len(names) // 2] != names[len(names) // 2 :]:
            raise CellError(
                f"activations: expected the same for both directions, since they share a cell, got {list(names)}."
            )
    biased = any(operator.B is not None for operator in operators)
    layers = [_blocks(operator, biased) for operator in operators]
    return build(layouts_of(equations, ORDER)[0], layers)


def _equations(operator: OnnxOperator) -> Equations:
    """What one step of the operator computes in its first direction."""
    names = tuple(operator.activations or ())[: len(DEFAULT_ACTIVATIONS[operator.op_type])]
    return Equations(
        operator.op_type,
        tuple(ACTIVATIONS[name] for name in names),
        reset_after=bool(operator.linear_before_reset),
        peepholes=operator.P is not None,
        coupled=bool(operator.input_forget),
        clip=operator.clip,
    )


def _shown(operator: OnnxOperator) -> str:
    """The operator's type and attributes, as an error shows them."""
    names = ("direction", "activations", "layout", "clip", "input_forget", "linear_before_reset")
    attributes = [f"{name}={getattr(operator, name)!r}" for name in names if getattr(operator, name)]
    attributes += [] if operator.P is None else ["with P"]
    return f"{operator.op_type} {', '.join(attributes)}"


def _blocks(operator: OnnxOperator, biased: bool) -> list[Block]:
    """A block for each direction."""
    gates = len(ORDER[operator.op_type])
    weight, recurrence = to_tensor(operator.W, "W"), to_tensor(operator.R, "R")
    if weight.ndim != 3 or recurrence.ndim != 3:
        given = f"W {list(weight.shape)} and R {list(recurrence.shape)}"
        raise ShapeError(f"operators: expected W [D, {gates}*H, I] and R [D, {gates}*H, H], got {given}.")
    directions, hidden = weight.shape[0], recurrence.shape[2]
    shapes = {
        "R": (recurrence, (directions, gates * hidden, hidden)),
        "W": (weight, (directions, gates * hidden, weight.shape[2])),
        "B": (None if operator.B is None else to_tensor(operator.B, "B"), (directions, 2 * gates * hidden)),
        "P": (None if operator.P is None else to_tensor(operator.P, "P"), (directions, 3 * hidden)),
    }
    for name, (tensor, shape) in shapes.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ShapeError(f"{name}: expected {list(shape)} beside this W and R, got {list(tensor.shape)}.")
    bias, peepholes = shapes["B"][0], shapes["P"][0]
    if bias is None and biased:
        bias = weight.new_zeros(directions, 2 * gates * hidden)

    def read(rows: Tensor, order: Sequence[str]) -> Tensor:
        """The rows of the gates that are used."""
        parts = dict(zip(order, rows.chunk(len(order)), strict=True))
        return torch.cat(
            [rows for gate, rows in parts.items() if gate != "forget" or not operator.input_forget]
        )

    blocks, order = [], ORDER[operator.op_type]
    for direction in range(directions):
        half, other_half = (
            (None, None) if bias is None else (read(b, order) for b in bias[direction].chunk(2))
        )
        vectors = {}
        if peepholes is not None:
            vectors = dict(zip(PEEPHOLES, peepholes[direction].chunk(3), strict=True))
            if operator.input_forget:
                del vectors["forget"]
        blocks.append(
            Block(
                read(weight[direction], order), read(recurrence[direction], order), half, other_half, vectors
            )
        )
    return blocks


# --- to ONNX ------------------------------------------------------------------------------------------


def to_onnx(rnn: Recurrent, layout: int = 0) -> list[OnnxOperator]:
    """One ONNX operator for each layer of `rnn`, the lowest first.

    Between layers, ONNX's output `[T, D, B, H]` is to be transposed and reshaped to `[T, B, D*H]`; with
    `layout=1`, `[B, T, D, H]` to `[B, T, D*H]`.

    Args:
        layout: 0 or 1; see `OnnxOperator`.

    Raises:
        CellError: ONNX has no operator for the cell or for an option of `rnn`, or the layers' cells differ.
    """
    refuse_options(rnn, "to_onnx", "an ONNX operator")
    first = cells_of(rnn)[0][0]
    if first.program.canonical == program_of(CoursePeepholeLSTM).canonical:
        raise CellError(
            "to_onnx: ONNX's peepholes are Gers's, whose output gate sees the new memory; in "
            f"{type(first).__name__} it sees the old one. Use PeepholeLSTM."
        )
    equations, layers = blocks_of(
        rnn,
        equations_like(first.program, ACTIVATIONS.values()),
        ORDER,
        "to_onnx",
        "an ONNX operator computes Elman, GRU, GRUResetAfter, LSTM, PeepholeLSTM and CoupledLSTM with "
        f"activations of {', '.join(ACTIVATIONS)}",
    )
    return [_operator(equations, blocks, layout) for blocks in layers]


def _operator(equations: Equations, blocks: Sequence[Block], layout: int) -> OnnxOperator:
    def written(rows: Tensor, order: Sequence[str]) -> Tensor:
        """With rows of zeros for a forget gate that is not read."""
        present = [gate for gate in order if gate != "forget" or not equations.coupled]
        parts = dict(zip(present, rows.chunk(len(present)), strict=True))
        return torch.cat([parts.get(gate, torch.zeros_like(parts[order[0]])) for gate in order])

    def stacked(tensors: Sequence[Tensor]) -> Array | None:
        return to_array(torch.stack(list(tensors)), "to_onnx") if tensors else None

    order = ORDER[equations.kind]
    biases = [
        torch.cat([written(b.bias, order), written(b.hidden_bias, order)])
        for b in blocks
        if b.bias is not None and b.hidden_bias is not None
    ]
    peepholes = []
    for block in blocks if equations.peepholes else ():
        zeros = torch.zeros_like(block.vectors["update"])
        peepholes.append(torch.cat([block.vectors.get(gate, zeros) for gate in PEEPHOLES]))
    return OnnxOperator(
        equations.kind,
        to_array(torch.stack([written(b.input_weight, order) for b in blocks]), "to_onnx"),
        to_array(torch.stack([written(b.hidden_weight, order) for b in blocks]), "to_onnx"),
        stacked(biases),
        stacked(peepholes),
        linear_before_reset=int(equations.reset_after),
        layout=layout,
        clip=equations.clip,
        input_forget=int(equations.coupled),
        activations=[NAMES[function] for function in equations.activations] * len(blocks),
    )
