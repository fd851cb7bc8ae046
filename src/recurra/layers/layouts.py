"""How other systems lay out the weights of our cells, and the way between their order and ours.

`convert.py` says which system does what; this file does not know their names.

I input, H hidden, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurra.cells import GRU, LSTM, Cell, Elman, GRUResetAfter, PeepholeLSTM, Program, ReluElman
from recurra.errors import CellError, ShapeError, nearest
from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation

Array = NDArray[np.floating]
Key = TypeVar("Key", bound=tuple[object, ...])


class ElmanWithoutBias(Elman):
    """`Elman` as `nn.RNN(bias=False)` has it."""

    has_bias = False


class ReluElmanWithoutBias(ReluElman):
    """`ReluElman` as `nn.RNN(nonlinearity="relu", bias=False)` has it."""

    has_bias = False


class GRUWithoutBias(GRU):
    """`GRU` as Keras's `GRU(reset_after=False, use_bias=False)` has it, but for the sign."""

    has_bias = False


class GRUResetAfterWithoutBias(GRUResetAfter):
    """`GRUResetAfter` as `nn.GRU(bias=False)` has it."""

    has_bias = False


class LSTMWithoutBias(LSTM):
    """`LSTM` as `nn.LSTM(bias=False)` has it."""

    has_bias = False
    initial_bias: ClassVar[dict[str, float]] = {}


class PeepholeLSTMWithoutBias(PeepholeLSTM):
    """`PeepholeLSTM` as an ONNX LSTM with P and without B has it."""

    has_bias = False
    initial_bias: ClassVar[dict[str, float]] = {}


WITHOUT_BIAS: dict[type[Cell], type[Cell]] = {
    Elman: ElmanWithoutBias,
    ReluElman: ReluElmanWithoutBias,
    GRU: GRUWithoutBias,
    GRUResetAfter: GRUResetAfterWithoutBias,
    LSTM: LSTMWithoutBias,
    PeepholeLSTM: PeepholeLSTMWithoutBias,
}


@dataclass(frozen=True)
class Layout:
    """How another system lays out one of our cells: its gate order, and the gates of opposite sign."""

    cell: type[Cell]
    gates: tuple[str, ...]
    negated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """One layer in one direction in the other system's gate order.

    Attributes:
        input_weight: `[G*H, I]`.
        hidden_weight: `[G*H, H]`.
        bias: `[G*H]`, of the input half; None where the system has no biases.
        hidden_bias: `[G*H]`, of the hidden half; None where the system has only one bias.
        vectors: peepholes `[H]` by the name of their gate.
    """

    input_weight: Tensor
    hidden_weight: Tensor
    bias: Tensor | None = None
    hidden_bias: Tensor | None = None
    vectors: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def hidden_size(self) -> int:
        """The layer's width H."""
        return self.hidden_weight.shape[1]


def choose(layouts: Mapping[Key, Layout], key: Key, argument: str) -> Layout:
    """The layout of that key.

    Raises:
        CellError: there is none.
    """
    if key not in layouts:
        known = ", ".join(" ".join(map(str, known)) for known in layouts)
        wanted = " ".join(map(str, key))
        names = [str(known[0]) for known in layouts]
        raise CellError(
            f"{argument}: no cell computes {wanted!r}; known: {known}.{nearest(str(key[0]), names)}"
        )
    return layouts[key]


def to_tensor(array: Array, name: str) -> Tensor:
    """A copy of a floating-point array; `name` is what an error calls it."""
    array = np.asarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise ShapeError(f"{name}: expected an array of floating-point numbers, got {array.dtype}.")
    return torch.from_numpy(array.copy())


def to_array(tensor: Tensor) -> Array:
    """A copy of a tensor as a numpy array."""
    return tensor.detach().cpu().contiguous().numpy().copy()


def program_of(cell: type[Cell]) -> Program:
    """The program of a cell class, which does not depend on its sizes."""
    return cell(1, 1).program


def _reordered(rows: Tensor, order: Sequence[str], wanted: Sequence[str], negated: Sequence[str]) -> Tensor:
    """The gates' rows `[G*H, ...]`, which lie in `order`, as `wanted`; those of `negated` change sign."""
    parts = dict(zip(order, rows.chunk(len(order)), strict=True))
    return torch.cat([-parts[gate] if gate in negated else parts[gate] for gate in wanted])


def _check_shapes(layout: Layout, layers: Sequence[Sequence[Block]]) -> None:
    """Raises ShapeError unless every block is as wide as its gates and its layer ask."""
    width = layers[0][0].input_weight.shape[1]
    for layer, blocks in enumerate(layers):
        hidden = blocks[0].hidden_size
        rows = len(layout.gates) * hidden
        for block in blocks:
            found = (block.input_weight, block.hidden_weight, block.bias, block.hidden_bias)
            expected = ((rows, width), (rows, hidden), (rows,), (rows,))
            for what, tensor, shape in zip(
                ("input weights", "recurrent weights", "bias", "recurrent bias"), found, expected, strict=True
            ):
                if tensor is not None and tuple(tensor.shape) != shape:
                    raise ShapeError(
                        f"layer {layer}: expected {what} of shape {list(shape)} (rows of "
                        f"{len(layout.gates)} gates first), got {list(tensor.shape)}."
                    )
        width = hidden * len(blocks)


def cells_of(rnn: Recurrent) -> list[list[Cell]]:
    """`rnn.cells[layer][direction]`, as cells."""
    return [[cast(Cell, cell) for cell in cast(nn.ModuleList, cells)] for cells in rnn.cells]


def build(layout: Layout, layers: Sequence[Sequence[Block]], dropout: float = 0.0) -> Recurrent:
    """A `Recurrent` of the layout's cell with the blocks' weights, in their dtype and on their device."""
    if len({len(blocks) for blocks in layers}) > 1:
        raise ShapeError("layers: expected the same number of directions in every layer.")
    _check_shapes(layout, layers)
    first, sizes = layers[0][0], [blocks[0].hidden_size for blocks in layers]
    cell = layout.cell if first.bias is not None else WITHOUT_BIAS[layout.cell]
    rnn = Recurrent(
        cell,
        first.input_weight.shape[1],
        sizes if len(set(sizes)) > 1 else sizes[0],
        num_layers=len(layers),
        bidirectional=len(layers[0]) == 2,
        dropout=dropout,
    ).to(first.input_weight)
    for cells, blocks in zip(cells_of(rnn), layers, strict=True):
        for own, block in zip(cells, blocks, strict=True):
            _fill(own, layout, block)
    return rnn


@torch.no_grad()
def _fill(cell: Cell, layout: Layout, block: Block) -> None:
    def ours(rows: Tensor) -> Tensor:
        return _reordered(rows, layout.gates, layout.cell.gates, layout.negated)

    own = cell.named_tensors()
    own["input_weight"].copy_(ours(block.input_weight))
    own["hidden_weight"].copy_(ours(block.hidden_weight))
    if block.bias is not None:
        hidden_bias = torch.zeros_like(block.bias) if block.hidden_bias is None else block.hidden_bias
        if "hidden_bias" in own:
            own["bias"].copy_(ours(block.bias))
            own["hidden_bias"].copy_(ours(hidden_bias))
        else:
            own["bias"].copy_(ours(block.bias + hidden_bias))
    for name, vector in block.vectors.items():
        own[f"vector_{name}"].copy_(vector)


def blocks_of(
    rnn: Recurrent, layouts: Mapping[Key, Layout], function: str, target: str
) -> tuple[Key, list[list[Block]]]:
    """The key of the layout that computes what `rnn` computes, and the weights in that layout."""
    harmless = {
        "residual": False,
        "stateful": False,
        "initial_state": "zero",
        "regularisation": Regularisation(),
    }
    for option, value in harmless.items():
        if getattr(rnn, option) not in (value, None):
            raise CellError(f"{function}: {target} has no counterpart of {option}={getattr(rnn, option)!r}.")
    cells = cells_of(rnn)
    first = cells[0][0]
    for key, layout in layouts.items():
        if first.program.canonical == program_of(layout.cell).canonical:
            return key, [[_block(cell, layout) for cell in directions] for directions in cells]
    known = ", ".join(layout.cell.__name__ for layout in layouts.values())
    raise CellError(f"{function}: {target} computes {known}, but not {type(first).__name__}.")


def _block(cell: Cell, layout: Layout) -> Block:
    own, program = cell.named_tensors(), cell.program

    def theirs(rows: Tensor) -> Tensor:
        return _reordered(rows.detach(), layout.cell.gates, layout.gates, layout.negated)

    bias = hidden_bias = None
    if "bias" in own:
        bias = theirs(own["bias"])
        # Zero for the gates whose hidden half has no bias of its own.
        parts = dict.fromkeys(program.gates, own["bias"].new_zeros(cell.hidden_size))
        parts |= {gate: cell.rows("hidden_bias", gate) for gate in program.hidden_bias_gates}
        hidden_bias = theirs(torch.cat(list(parts.values())))
    vectors = {
        name: own[f"vector_{its_own}"].detach()
        for name, its_own in zip(program_of(layout.cell).vectors, program.vectors, strict=True)
    }
    return Block(theirs(own["input_weight"]), theirs(own["hidden_weight"]), bias, hidden_bias, vectors)
