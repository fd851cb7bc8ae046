"""Weights and states to and from `nn.RNN`, `nn.GRU` and `nn.LSTM`; `convert.py` has the overview.

I input, H hidden, D directions, L layers, B batch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.cell import REPARAMETRISING
from recurra.contracts import DIRECTIONS, State
from recurra.errors import CellError, ShapeError, StateError
from recurra.layers.layouts import (
    Block,
    blocks_of,
    build,
    copy_into,
    layouts_of,
    refuse_hooks,
    refuse_options,
)
from recurra.layers.mode import evaluating
from recurra.layers.recurrent import Recurrent
from recurra.layers.variants import Equations, relu, sigmoid, tanh

MODULES: dict[str, Any] = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}
# (module, nonlinearity)
EQUATIONS: dict[tuple[str, str], Equations] = {
    ("RNN", "tanh"): Equations("RNN", (tanh,)),
    ("RNN", "relu"): Equations("RNN", (relu,)),
    ("GRU", ""): Equations("GRU", (sigmoid, tanh), reset_after=True),
    ("LSTM", ""): Equations("LSTM", (sigmoid, tanh, tanh)),
}
ORDER = {
    "RNN": ("candidate",),
    "GRU": ("reset", "update", "candidate"),
    "LSTM": ("update", "forget", "candidate", "output"),
}
SUFFIXES = ("", "_reverse")  # by direction


def from_torch(module: nn.Module) -> Recurrent:
    """The `Recurrent` that computes what an `nn.RNN`, `nn.GRU` or `nn.LSTM` computes.

    The weights are those that the module's next call would use in evaluation mode: parametrised
    (`torch.nn.utils.parametrizations`) and pruned ones at their effective values, a tensor with several
    names once for each. A parameter is frozen where everything that it is made of is; PyTorch's two
    biases become our one sum, which is frozen if both are. Dropout and the mode are taken over.

    `Recurrent` is always batch first; a module with `batch_first=False` converts all the same, and its
    inputs `[T, B, I]` become `x.transpose(0, 1)`. For its states see `state_from_torch`.

    Args:
        module: any depth, one or two directions, with or without biases.

    Raises:
        CellError: another module, one with a `forward` of its own or with hooks around it, a projected
            LSTM (`proj_size`), or one without a tensor that it needs.
        ShapeError: the tensors differ in dtype or device, or a shape does not fit.
    """
    kind = _kind_of(module)
    assert isinstance(module, nn.RNNBase)
    if module.proj_size:
        raise CellError(
            f"module: proj_size={module.proj_size} has no counterpart, since outputs and states are "
            "hidden_size wide; train an nn.LSTM with proj_size=0."
        )
    refuse_hooks(module, "module", REPARAMETRISING)
    with evaluating(module), torch.enable_grad():
        # Until a call, the attributes hold the weights of the one before, and those may be older than the parameters.
        for hook in module._forward_pre_hooks.values():
            hook(module, ())
        layers = [
            [_block(module, f"_l{layer}{suffix}") for suffix in SUFFIXES[: 2 if module.bidirectional else 1]]
            for layer in range(module.num_layers)
        ]
    equations = EQUATIONS[kind, module.nonlinearity if isinstance(module, nn.RNN) else ""]
    (layout,) = layouts_of(equations, ORDER)
    dropout = module.dropout if module.num_layers > 1 else 0.0  # which a single layer does not use
    return build(layout, layers, dropout, keep_frozen=True).train(module.training)


def _kind_of(module: nn.Module) -> str:
    """The name in `MODULES`; a subclass counts if it leaves `forward` alone, as a parametrised module does."""
    name = type(module).__name__
    for kind, base in MODULES.items():
        if isinstance(module, base):
            if type(module).forward is not base.forward or "forward" in vars(module):
                raise CellError(
                    f"module: {name} is an nn.{kind} with a forward of its own, which is not converted; give an "
                    f"nn.{kind} with its weights."
                )
            return kind
    raise CellError(f"module: expected an nn.RNN, nn.GRU or nn.LSTM, got {name}.")


def _block(module: nn.RNNBase, suffix: str) -> Block:
    def tensor(name: str) -> Tensor:
        value = getattr(module, name + suffix, None)
        if not isinstance(value, Tensor):
            raise CellError(f"module: expected a tensor as its {name}{suffix}, got {value!r}.")
        return value

    weights = tensor("weight_ih"), tensor("weight_hh")
    return Block(*weights, tensor("bias_ih"), tensor("bias_hh")) if module.bias else Block(*weights)


def to_torch(rnn: Recurrent, batch_first: bool = True) -> nn.RNNBase:
    """The `nn.RNN`, `nn.GRU` or `nn.LSTM` that computes what `rnn` computes.

    Weights at their effective values, frozen where ours are; dropout and mode are taken over. `chunk` and
    `backend` say how `rnn` runs, not what it computes, and have no counterpart.

    Raises:
        CellError: PyTorch has no module for the cell or for an option of `rnn`, or the layers' cells differ.
        ShapeError: the layers differ in width.
    """
    refuse_options(rnn, "to_torch", "an nn module", held=("dropout",))
    equations, layers = blocks_of(
        rnn,
        EQUATIONS.values(),
        ORDER,
        "to_torch",
        "an nn module computes Elman, ReluElman, GRUResetAfter and LSTM",
    )
    kind, nonlinearity = next(key for key, known in EQUATIONS.items() if known == equations)
    if len(set(rnn.hidden_sizes)) > 1:
        raise ShapeError(f"to_torch: an nn.{kind} has one hidden_size, but rnn has {list(rnn.hidden_sizes)}.")
    extra = {"nonlinearity": nonlinearity} if nonlinearity else {}
    first = layers[0][0]
    module = MODULES[kind](
        rnn.input_size,
        first.hidden_size,
        rnn.num_layers,
        bias=first.bias is not None,
        batch_first=batch_first,
        dropout=rnn.dropout,
        bidirectional=rnn.bidirectional,
        **extra,
    ).to(first.input_weight)
    for layer, directions in enumerate(layers):
        for block, suffix in zip(directions, SUFFIXES, strict=False):
            named = {
                "weight_ih": block.input_weight,
                "weight_hh": block.hidden_weight,
                "bias_ih": block.bias,
                "bias_hh": block.hidden_bias,
            }
            for name, value in named.items():
                if value is not None:
                    copy_into(getattr(module, f"{name}_l{layer}{suffix}"), value, keep_frozen=True)
    return module.train(rnn.training)


def state_from_torch(state: Tensor | tuple[Tensor, Tensor], bidirectional: bool = False) -> State:
    """PyTorch's `h` `[L*D, B, H]`, or `(h, c)` of an LSTM, as a `State`.

    Raises:
        StateError: the tensors are not of that shape, or there are others.
    """
    given = (state,) if isinstance(state, Tensor) else tuple(state)
    if len(given) > 2 or (len(given) < 2 and not isinstance(state, Tensor)):
        raise StateError(f"state: expected the tensor h, or the tuple (h, c), got {len(given)} in a tuple.")
    tensors = dict(zip(("h", "c"), given, strict=False))
    directions = 2 if bidirectional else 1
    shapes = {tuple(tensor.shape) for tensor in tensors.values()}
    shape = next(iter(shapes))
    if len(shapes) > 1 or len(shape) != 3 or not shape[0] or shape[0] % directions:
        shown = " and ".join(str(list(tensor.shape)) for tensor in tensors.values())
        raise StateError(
            f"state: expected [layers * {directions}, batch, hidden] for h (and c), got {shown}."
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


def state_to_torch(state: State) -> Tensor | tuple[Tensor, Tensor]:
    """A `State` as PyTorch's `h` `[L*D, B, H]`, or as `(h, c)` where it has a c.

    Raises:
        StateError: a name other than h and c, or layers that differ in names, directions or width.
    """
    flat = [states for directions in state.layers for states in directions]
    for layer, directions in enumerate(state.layers):
        for direction, states in zip(DIRECTIONS, directions, strict=False):
            if set(states) not in ({"h"}, {"h", "c"}):
                raise StateError(
                    f"state: PyTorch's states are h, or h and c, but layer {layer} ({direction}) has "
                    f"{', '.join(sorted(states)) or 'none'}."
                )
    if (
        len({len(directions) for directions in state.layers}) != 1
        or len({"c" in states for states in flat}) != 1
    ):
        raise StateError("state: expected the same states and directions in every layer, but these differ.")
    widths = {tensor.shape[-1] for states in flat for tensor in states.values()}
    if len(widths) > 1:
        raise StateError(f"state: PyTorch's layers are equally wide, but these are {sorted(widths)} wide.")
    h = torch.stack([states["h"] for states in flat])
    return (h, torch.stack([states["c"] for states in flat])) if "c" in flat[0] else h
