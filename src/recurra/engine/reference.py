"""The reference backend: the program as a plain loop over time, with PyTorch's autograd.

It runs every program, and every other backend is checked against it. Only the product with the inputs is
taken out of the loop. B batch, T time, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recurra.cells.cell import NORM_EPSILON
from recurra.cells.program import Node, Program
from recurra.cells.values import FUNCTIONS
from recurra.engine.backend import Call, Options, Result

NAME = "reference"
DEVICE = None


def can_run(program: Program, options: Options) -> str | None:
    """Always yes."""
    return None


def run(call: Call) -> Result:
    """The loop."""
    steps = call.x.shape[1]
    step = OneStep(call.program, call.parameters, call.states[0].shape[1])
    projected = step.project(call.x)  # [B, T, rows]
    states, outputs = call.states, []
    gates: dict[str, list[Tensor]] = {gate: [] for gate in call.program.gates}
    for t in range(steps):
        masks = {name: mask[:, t] if mask.ndim == 3 else mask for name, mask in call.masks.items()}
        values = step.evaluate(None if projected is None else projected[:, t], states, masks)
        # A new state may not depend on the row at all; under autocast it keeps the old one's type.
        new = tuple(
            values[index].to(old.dtype).expand_as(old)
            for index, old in zip(call.program.outputs, states, strict=True)
        )
        active = None if call.lengths is None else (t < call.lengths)[:, None]  # [B, 1]
        if active is not None:
            new = tuple(torch.where(active, value, old) for value, old in zip(new, states, strict=True))
        states = new
        outputs.append(_cut(states[0], active))
        if call.return_gates:
            for gate, nodes in call.program.gate_values.items():
                value = torch.stack([values[node].expand_as(states[0]) for node in nodes]).sum(0)
                gates[gate].append(_cut(value, active))
    return Result(
        outputs=_over_time(outputs, call),
        states=states,
        gates={gate: _over_time(values, call) for gate, values in gates.items()} if call.return_gates else {},
    )


def _cut(value: Tensor, active: Tensor | None) -> Tensor:
    return value if active is None else torch.where(active, value, 0.0)


def _over_time(values: Sequence[Tensor], call: Call) -> Tensor:
    if values:
        return torch.stack(list(values), dim=1)
    return call.states[0].new_zeros(call.x.shape[0], 0, call.states[0].shape[1])


class OneStep:
    """One time step of a program, its weights laid ready."""

    def __init__(self, program: Program, parameters: Mapping[str, Tensor], hidden_size: int) -> None:
        self.program = program
        self.parameters = parameters
        self.hidden_size = hidden_size
        order = program.hidden_gates
        self.products = {
            product.operand: (
                product.gates,
                self._rows("hidden_weight", product.gates, order),
                self._hidden_bias(product.gates),
            )
            for product in program.products
        }

    def _rows(self, name: str, gates: Sequence[str], order: Sequence[str]) -> Tensor:
        """The rows of `gates`, as a view where they stand together."""
        parameter, size = self.parameters[name], self.hidden_size
        if tuple(gates) == tuple(order):
            return parameter
        return torch.cat([parameter[order.index(gate) * size :][:size] for gate in gates])

    def _hidden_bias(self, gates: Sequence[str]) -> Tensor | None:
        biased = self.program.hidden_bias_gates
        if "hidden_bias" not in self.parameters or not set(gates) & set(biased):
            return None
        zeros = self.parameters["hidden_bias"].new_zeros(self.hidden_size)
        parts = {gate: self._rows("hidden_bias", (gate,), biased) for gate in gates if gate in biased}
        return torch.cat([parts.get(gate, zeros) for gate in gates])

    def project(self, x: Tensor) -> Tensor | None:
        """W x + b of every input gate, `[..., rows]`."""
        if "input_weight" not in self.parameters:
            return None
        return functional.linear(x, self.parameters["input_weight"], self.parameters.get("bias"))

    def evaluate(
        self, projected: Tensor | None, states: tuple[Tensor, ...], masks: Mapping[str, Tensor]
    ) -> list[Any]:
        """The value of every node, in the program's order; `projected` is `[B, rows]`."""
        program = self.program
        halves: dict[tuple[str, str], Tensor] = {}
        if projected is not None:
            halves |= self._split("input", program.input_gates, projected)
        values: list[Any] = []
        for node in program.nodes:
            operands = _in_type_of(states[0], node, [values[arg] for arg in node.args])
            if node.op == "hidden" and ("hidden", node.name) not in halves:
                gates, weight, bias = self.products[node.args[0]]
                halves |= self._split("hidden", gates, functional.linear(operands[0], weight, bias))
            if node.op in ("input", "hidden"):
                values.append(halves[node.op, node.name])
            elif node.op == "state":
                values.append(states[program.states.index(node.name)])
            elif node.op == "constant":
                values.append(node.values[0])
            elif node.op == "vector":
                values.append(self.parameters[f"vector_{node.name}"])
            elif node.op in ("mask", "step_mask"):
                values.append(masks[node.name])
            elif node.op == "norm":
                gain, shift = (self.parameters[f"norm_{node.name}_{part}"] for part in ("gain", "shift"))
                values.append(functional.layer_norm(operands[0], gain.shape, gain, shift, NORM_EPSILON))
            elif node.op == "clamp":
                values.append(torch.clamp(operands[0], *node.values))
            elif node.op in ("maximum", "minimum"):
                values.append(getattr(torch, node.op)(*_as_tensors(operands)))
            elif node.op == "where":  # two plain numbers would be of torch's default type
                values.append(torch.where(operands[0], *_as_tensors([states[0], *operands[1:]])[1:]))
            else:
                values.append(FUNCTIONS[node.op](*operands))
        for output in program.outputs:
            if not isinstance(values[output], Tensor):
                values[output] = _per_unit(states[0], values[output])
        return values

    def _split(self, half: str, gates: Sequence[str], rows: Tensor) -> dict[tuple[str, str], Tensor]:
        return {
            (half, gate): part for gate, part in zip(gates, rows.split(self.hidden_size, dim=-1), strict=True)
        }


def _in_type_of(state: Tensor, node: Node, operands: list[Any]) -> list[Any]:
    """The operands; where all are numbers, as tensors of the state's type, since PyTorch would take float32.

    The condition of a `where` does not count.
    """
    first = int(node.op == "where")
    if any(isinstance(value, Tensor) for value in operands[first:]):
        return operands
    return [*operands[:first], *(_per_unit(state, value) for value in operands[first:])]


def _per_unit(state: Tensor, value: float) -> Tensor:
    """A number as a tensor `[H]`."""
    return state.new_tensor(value).expand(state.shape[-1])


def _as_tensors(operands: Sequence[Any]) -> list[Tensor]:
    """`torch.maximum` takes no plain numbers."""
    tensor = next(value for value in operands if isinstance(value, Tensor))
    return [value if isinstance(value, Tensor) else tensor.new_tensor(value) for value in operands]
