"""How other systems lay out the weights of our cells, and the way between their order and ours.

`convert_torch.py`, `convert_keras.py` and `convert_onnx.py` say which system does what; this file does not
know their names.

I input, H hidden, G gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurra.cells import Cell, Program
from recurra.cells.cell import REPARAMETRISING
from recurra.cells.checks import hooks_around
from recurra.contracts import DIRECTIONS
from recurra.errors import CellError, ShapeError, nearest
from recurra.layers.mode import evaluating
from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation
from recurra.layers.variants import Equations, cells_for, without_bias

Array = NDArray[np.floating]
GateOrder = Mapping[str, tuple[str, ...]]
"""A system's order of the gates' rows, by the kind of layer ("RNN", "GRU" or "LSTM")."""


@dataclass(frozen=True)
class Layout:
    """How another system lays out one of our cells: its gate order, and the gates of opposite sign."""

    cell: type[Cell]
    program: Program
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

    def tensors(self) -> list[Tensor]:
        """All tensors that exist."""
        named = (self.input_weight, self.hidden_weight, self.bias, self.hidden_bias)
        return [tensor for tensor in (*named, *self.vectors.values()) if tensor is not None]


def layouts_of(equations: Equations, order: GateOrder) -> list[Layout]:
    """The layouts of the cells that compute `equations`, the one to choose first."""
    return [
        Layout(
            ours.cell,
            ours.program,
            tuple(gate for gate in order[equations.kind] if gate in ours.cell.gates),
            ours.negated,
        )
        for ours in cells_for(equations)
    ]


def check_name(argument: str, name: str, known: Iterable[str]) -> None:
    """Raise unless `name` is one of those known.

    Raises:
        CellError: it is not.
    """
    known = list(known)
    if name not in known:
        raise CellError(
            f"{argument}: expected one of {', '.join(known)}, got {name!r}.{nearest(str(name), known)}"
        )


def to_tensor(array: Array, name: str) -> Tensor:
    """A copy of a floating-point array; `name` is what an error calls it."""
    array = np.asarray(array)
    native = array.dtype.newbyteorder("=")
    if native not in (np.float16, np.float32, np.float64):
        raise ShapeError(f"{name}: expected an array of float16, float32 or float64, got {array.dtype}.")
    return torch.from_numpy(array.astype(native, copy=True))


def to_array(tensor: Tensor, name: str) -> Array:
    """A copy of a tensor as a numpy array; `name` is the function that an error names."""
    if tensor.dtype == torch.bfloat16:
        raise ShapeError(f"{name}: numpy has no bfloat16; convert rnn.float().")
    return tensor.detach().cpu().contiguous().numpy().copy()


def _reordered(rows: Tensor, order: Sequence[str], wanted: Sequence[str], negated: Sequence[str]) -> Tensor:
    """The gates' rows `[G*H, ...]`, which lie in `order`, as `wanted`; those of `negated` change sign."""
    parts = dict(zip(order, rows.chunk(len(order)), strict=True))
    return torch.cat([-parts[gate] if gate in negated else parts[gate] for gate in wanted])


def _check_blocks(layout: Layout, layers: Sequence[Sequence[Block]]) -> None:
    """Raises ShapeError unless every block is as wide as its gates and its layer ask, and all are alike."""
    first = layers[0][0].input_weight
    width = first.shape[1]
    for layer, blocks in enumerate(layers):
        hidden = blocks[0].hidden_size
        rows = len(layout.gates) * hidden
        for block in blocks:
            given = (block.input_weight, block.hidden_weight, block.bias, block.hidden_bias)
            expected = ((rows, width), (rows, hidden), (rows,), (rows,))
            for what, tensor, shape in zip(
                ("input weights", "recurrent weights", "bias", "recurrent bias"), given, expected, strict=True
            ):
                if tensor is not None and tuple(tensor.shape) != shape:
                    raise ShapeError(
                        f"layer {layer}: expected {what} of shape {list(shape)} (rows of "
                        f"{len(layout.gates)} gates first), got {list(tensor.shape)}."
                    )
            for tensor in block.tensors():
                if (tensor.dtype, tensor.device) != (first.dtype, first.device):
                    raise ShapeError(
                        f"layer {layer}: expected all weights and biases in {first.dtype} on {first.device}, "
                        f"as layer 0 has them, got {tensor.dtype} on {tensor.device}."
                    )
        width = hidden * len(blocks)


# --- from other systems -------------------------------------------------------------------------------


def build(
    layout: Layout,
    layers: Sequence[Sequence[Block]],
    dropout: float = 0.0,
    regularisation: Regularisation | None = None,
    keep_frozen: bool = False,
) -> Recurrent:
    """A `Recurrent` of the layout's cell with the blocks' weights, in their dtype and on their device.

    Args:
        layers: blocks by layer and direction.
        dropout, regularisation: of the `Recurrent`.
        keep_frozen: a parameter requires a gradient only if a tensor that it is made of does.
    """
    if len({len(blocks) for blocks in layers}) > 1:
        raise ShapeError("layers: expected the same number of directions in every layer.")
    _check_blocks(layout, layers)
    first, sizes = layers[0][0], [blocks[0].hidden_size for blocks in layers]
    rnn = Recurrent(
        layout.cell if first.bias is not None else without_bias(layout.cell),
        first.input_weight.shape[1],
        sizes if len(set(sizes)) > 1 else sizes[0],
        num_layers=len(layers),
        bidirectional=len(layers[0]) == 2,
        dropout=dropout,
        regularisation=regularisation,
    ).to(first.input_weight)
    for cells, blocks in zip(cells_of(rnn), layers, strict=True):
        for cell, block in zip(cells, blocks, strict=True):
            parameters = cell.named_tensors()
            for name, value in _values(layout, block, "hidden_bias" in parameters).items():
                copy_into(parameters[name], value, keep_frozen)
    return rnn


def copy_into(parameter: Tensor, value: Tensor, keep_frozen: bool) -> None:
    """Writes a parameter's values, and whether it requires a gradient."""
    with torch.no_grad():
        parameter.copy_(value)
    if keep_frozen:
        parameter.requires_grad_(value.requires_grad)


@torch.enable_grad()
def _values(layout: Layout, block: Block, has_hidden_bias: bool) -> dict[str, Tensor]:
    """The parameters of our cell by name; each requires a gradient if anything that it is made of does."""

    def ours(rows: Tensor) -> Tensor:
        return _reordered(rows, layout.gates, layout.cell.gates, layout.negated)

    values = {"input_weight": ours(block.input_weight), "hidden_weight": ours(block.hidden_weight)}
    if block.bias is not None:
        hidden_bias = torch.zeros_like(block.bias) if block.hidden_bias is None else block.hidden_bias
        if has_hidden_bias:
            values |= {"bias": ours(block.bias), "hidden_bias": ours(hidden_bias)}
        else:
            values["bias"] = ours(block.bias + hidden_bias)
    return values | {f"vector_{gate}": vector for gate, vector in block.vectors.items()}


# --- to other systems ---------------------------------------------------------------------------------


def cells_of(rnn: Recurrent) -> list[list[Cell]]:
    """`rnn.cells[layer][direction]`, as cells."""
    return [[cast(Cell, cell) for cell in cast(nn.ModuleList, cells)] for cells in rnn.cells]


def refuse_options(rnn: Recurrent, function: str, target: str, held: Sequence[str] = ()) -> None:
    """Raise unless `rnn` has no option or hook that its weights do not say; `held` names what `target` has too.

    Raises:
        CellError: it has one.
    """
    without = {"dropout": 0.0, "residual": False, "stateful": False, "initial_state": "zero"}
    options = {name: (getattr(rnn, name), value) for name, value in without.items()}
    for rate in fields(Regularisation):
        options[f"regularisation.{rate.name}"] = (getattr(rnn.regularisation, rate.name), rate.default)
    for name, (value, harmless) in options.items():
        if value != harmless and name not in held:
            remedy = {
                "dropout": "; set rnn.dropout = 0 and put a dropout between the layers there",
                "stateful": "; set rnn.stateful = False and carry the state yourself",
            }.get(name, "")
            raise CellError(f"{function}: {target} has no counterpart of {name}={value!r}{remedy}.")
    refuse_hooks(rnn, f"{function}: rnn")


def refuse_hooks(module: nn.Module, argument: str, expected: Sequence[type] = ()) -> None:
    """Raise unless `module` has no hooks around its call but those of the types expected, before it.

    Raises:
        CellError: it has one; nothing would call it afterwards.
    """
    for kind in hooks_around(module, expected):
        raise CellError(f"{argument}: has a {kind}, which does not convert; remove it first.")


def _check_cells(cells: Sequence[Sequence[Cell]], function: str) -> None:
    """Raises CellError unless all layers and directions have the same cell, without hooks, in both modes."""
    first = cells[0][0]
    for layer, directions in enumerate(cells):
        for direction, cell in zip(DIRECTIONS, directions, strict=False):
            refuse_hooks(cell, f"{function}: cells[{layer}][{DIRECTIONS.index(direction)}]", REPARAMETRISING)
            if cell.program_in(True).key != cell.program_in(False).key:
                raise CellError(
                    f"{function}: {type(cell).__name__} computes something else in training than in evaluation, "
                    "which has no counterpart."
                )
            if cell.program.key != first.program.key:
                raise CellError(
                    f"{function}: layer {layer} ({direction}) has the cell {type(cell).__name__}, but layer 0 "
                    f"{type(first).__name__}; expected the same in all layers. Convert each by itself."
                )


def blocks_of(
    rnn: Recurrent, candidates: Iterable[Equations], order: GateOrder, function: str, refusal: str
) -> tuple[Equations, list[list[Block]]]:
    """The equations that `rnn` computes, and its weights in another system's order of gates.

    Args:
        candidates: what the other system computes.
        order: its order of gates.
        function: whose errors these are.
        refusal: what to say if it is none of the candidates: what the system computes.
    """
    with evaluating(rnn), torch.enable_grad():  # what is read keeps saying whether it requires a gradient
        cells = cells_of(rnn)
        _check_cells(cells, function)
        first = cells[0][0]
        for equations in candidates:
            for layout in layouts_of(equations, order):
                if first.program.canonical == layout.program.canonical:
                    layers = [[_block(cell, layout) for cell in directions] for directions in cells]
                    _check_blocks(layout, layers)
                    return equations, layers
    raise CellError(f"{function}: {refusal}, but not {type(first).__name__}.")


def _block(cell: Cell, layout: Layout) -> Block:
    tensors, program = cell.named_tensors(), cell.program

    def theirs(rows: Tensor) -> Tensor:
        return _reordered(rows, layout.cell.gates, layout.gates, layout.negated)

    bias, hidden_bias = tensors.get("bias"), tensors.get("hidden_bias")
    if bias is not None and hidden_bias is None:  # their second bias trains if our one does
        hidden_bias = torch.zeros_like(bias).requires_grad_(bias.requires_grad)
    elif hidden_bias is not None:
        # Zero for the gates whose hidden half has no bias of its own.
        parts = dict.fromkeys(program.gates, hidden_bias.new_zeros(cell.hidden_size))
        parts |= dict(zip(program.hidden_bias_gates, hidden_bias.split(cell.hidden_size), strict=True))
        hidden_bias = torch.cat(list(parts.values()))
    vectors = {
        name: tensors[f"vector_{used}"]
        for name, used in zip(layout.program.vectors, program.vectors, strict=True)
    }
    return Block(
        theirs(tensors["input_weight"]),
        theirs(tensors["hidden_weight"]),
        None if bias is None else theirs(bias),
        None if hidden_bias is None else theirs(hidden_bias),
        vectors,
    )
