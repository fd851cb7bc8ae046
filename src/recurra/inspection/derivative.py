"""One step of a program, differentiated: many vectors at once taken back over it.

Nearly all of a step is pointwise, so that its derivative is a handful of factors `[B, H]` per step, the same
for every vector. They are found for a whole chunk of steps at once, each by PyTorch's autograd on one
operation alone; what is left for each step is a product of the vectors with each factor and with each weight
matrix. (Batched autograd runs vectors one by one where an operation has no batching rule, and `tanh` has none.)

B batch, T steps of the chunk, H hidden, N vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recurra.cells.cell import NORM_EPSILON
from recurra.cells.program import Node
from recurra.cells.values import FUNCTIONS
from recurra.inspection.trajectory import Chunk


class Derivative:
    """The derivatives of the steps of a chunk at the states it went through.

    Args:
        chunk: its states at hand.
    """

    def __init__(self, chunk: Chunk) -> None:
        self.program = chunk.one_step.program
        self.parameters = chunk.one_step.parameters
        self.hidden_size = chunk.one_step.hidden_size
        self.live = self._live()
        steps, rows = len(chunk.states) - 1, chunk.states[0][0].shape[0]
        values = self._values(chunk)
        # By node and operand: the factor [T, B, H], or None for 1.
        self.factors: dict[tuple[int, int], Tensor | None] = {}
        self.norms: dict[
            int, tuple[Tensor, Tensor]
        ] = {}  # by node: normalised value [T, B, H], scale [T, B, 1]
        for index in sorted(self.live):
            node = self.program.nodes[index]
            operands = [values[arg] for arg in node.args]
            if node.op == "norm":
                self.norms[index] = _normalised(operands[0].unflatten(0, (steps, rows)))
            elif node.op not in ("state", "hidden"):
                live = [position for position, arg in enumerate(node.args) if arg in self.live]
                for position, factor in zip(live, _factors(node, operands, live), strict=True):
                    whole = factor.expand(steps * rows, self.hidden_size).unflatten(0, (steps, rows))
                    self.factors[index, position] = None if node.op == "add" else whole

    def back(self, offset: int, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Take vectors from the states after a step to the states before it: vᵀ ∂s_k/∂s_{k-1}.

        Args:
            offset: of the step in the chunk.
            vectors: one tensor `[N, B, H]` per state.

        Returns:
            One tensor `[N, B, H]` per state.
        """
        program = self.program
        waiting: dict[int, Tensor] = {}
        for output, vector in zip(program.outputs, vectors, strict=True):
            if output in self.live:
                _add(waiting, output, vector)
        for index in range(len(program.nodes) - 1, -1, -1):
            node = program.nodes[index]
            if index not in waiting or node.op == "state":
                continue
            arriving = waiting.pop(index)
            if node.op == "hidden":
                _add(waiting, node.args[0], arriving @ self._weight(node.name))
            elif node.op == "norm":
                _add(waiting, node.args[0], self._back_norm(index, offset, arriving))
            else:
                for position, arg in enumerate(node.args):
                    if arg in self.live:
                        factor = self.factors[index, position]
                        _add(waiting, arg, arriving if factor is None else arriving * factor[offset])
        gradients = []
        for name, vector in zip(program.states, vectors, strict=True):
            at = next(
                (i for i, node in enumerate(program.nodes) if (node.op, node.name) == ("state", name)), -1
            )
            gradients.append(waiting.get(at, torch.zeros_like(vector)))
        return gradients

    def _live(self) -> set[int]:
        """The nodes into which a state enters as a number (a condition passes no derivative on)."""
        live: set[int] = set()
        for index, node in enumerate(self.program.nodes):
            args = node.args[1:] if node.op == "where" else node.args
            if node.op == "state" or (not live.isdisjoint(args) and node.op not in _CONDITIONS):
                live.add(index)
        return live

    def _values(self, chunk: Chunk) -> list[Any]:
        """The values of all nodes, the steps of the chunk standing as rows, `[T * B, H]`."""
        before = tuple(torch.cat(tensors) for tensors in zip(*chunk.states[:-1], strict=True))
        projected = None if chunk.projected is None else chunk.projected.transpose(0, 1).flatten(0, 1)
        with torch.no_grad():
            return chunk.one_step.evaluate(projected, before, {})

    def _weight(self, gate: str) -> Tensor:
        first = self.program.hidden_gates.index(gate) * self.hidden_size
        return self.parameters["hidden_weight"][first : first + self.hidden_size]

    def _back_norm(self, index: int, offset: int, arriving: Tensor) -> Tensor:
        """Layer normalisation backwards (Ba, Kiros & Hinton 2016)."""
        normalised, scale = (tensor[offset] for tensor in self.norms[index])
        scaled = arriving * self.parameters[f"norm_{self.program.nodes[index].name}_gain"]
        along = (scaled * normalised).mean(-1, keepdim=True)
        return (scaled - scaled.mean(-1, keepdim=True) - normalised * along) * scale


_CONDITIONS = ("lt", "le", "gt", "ge", "eq", "ne")


def _add(waiting: dict[int, Tensor], index: int, vector: Tensor) -> None:
    waiting[index] = waiting[index] + vector if index in waiting else vector


def _factors(node: Node, operands: Sequence[Any], wanted: Sequence[int]) -> tuple[Tensor, ...]:
    """The derivative of a pointwise operation by each wanted operand, at the operands' values."""
    inputs = [
        operand.detach().requires_grad_() if i in wanted else operand for i, operand in enumerate(operands)
    ]
    like = inputs[wanted[0]]
    with torch.enable_grad():
        if node.op == "clamp":
            result = torch.clamp(inputs[0], *node.values)
        elif node.op in ("maximum", "minimum"):
            result = getattr(torch, node.op)(*(torch.as_tensor(value).to(like) for value in inputs))
        else:
            result = FUNCTIONS[node.op](*inputs)
    return torch.autograd.grad(result, [inputs[i] for i in wanted], torch.ones_like(result))


def _normalised(value: Tensor) -> tuple[Tensor, Tensor]:
    """A value normalised over its last axis, and the factor that did it."""
    centred = value - value.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + NORM_EPSILON).rsqrt()
    return centred * scale, scale
