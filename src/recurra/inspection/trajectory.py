"""The states of every layer at every step, and one step of it to differentiate.

A `Recurrent` returns its outputs and its last state. Looking inside needs what lies between: this file
runs the layers step by step, in evaluation mode, and keeps each layer's input and its states at the
borders of chunks, from which the states inside a chunk are computed again when they are wanted.

B batch, T time, I input, H hidden, D directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.contracts import DIRECTIONS
from recurra.engine.reference import OneStep
from recurra.errors import ShapeError

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent

States = tuple[Tensor, ...]

CHUNK = 128  # steps between stored states


@dataclass(frozen=True)
class Trajectory:
    """One direction of one layer along one input, in the order in which it reads.

    Attributes:
        layer: counted from 0.
        direction: "forward" or "backward".
        program: what one step computes in evaluation, zoneout's expectation included.
        parameters: the cell's, by name, without gradients.
        inputs: `[B, T, I]`, the first step read first (so reversed for the backward direction).
        borders: the states before steps 0, CHUNK, 2 CHUNK, ...; each a tuple of `[B, H]`.
        cell: the name of the cell's class.
    """

    layer: int
    direction: str
    program: Program
    parameters: dict[str, Tensor]
    inputs: Tensor
    borders: tuple[States, ...]
    cell: str = ""

    @property
    def cell_and_size(self) -> str:
        """The cell and its width, such as "LSTM, 64 units"."""
        return f"{self.cell}, {self.hidden_size:,} unit{'s' if self.hidden_size != 1 else ''}"

    @property
    def steps(self) -> int:
        """The number of steps T."""
        return self.inputs.shape[1]

    @property
    def hidden_size(self) -> int:
        """The width H of every state."""
        return self.borders[0][0].shape[1]

    def chunk(self, number: int) -> Chunk:
        """Chunk `number`, its states recomputed from its border."""
        first = number * CHUNK
        one_step = OneStep(self.program, self.parameters, self.hidden_size)
        projected = one_step.project(self.inputs[:, first : first + CHUNK])
        steps = min(CHUNK, self.steps - first)
        chunk = Chunk(first, one_step, projected, [self.borders[number]])
        with torch.no_grad():
            for offset in range(steps):
                chunk.states.append(chunk.step(offset, chunk.states[-1]))
        return chunk

    def all_states(self) -> dict[str, Tensor]:
        """Each state after each step, `[B, T, H]`, in the order of time."""
        after = [states for number in range(len(self.borders)) for states in self.chunk(number).states[1:]]
        stacked = [torch.stack(tensors, 1) for tensors in zip(*after, strict=True)]
        if self.direction == "backward":
            stacked = [tensor.flip(1) for tensor in stacked]
        return dict(zip(self.program.states, stacked, strict=True))


@dataclass(frozen=True)
class Chunk:
    """Some steps of a trajectory, their states at hand.

    Attributes:
        first: the position of its first step.
        one_step: the step.
        projected: the input's share of the affines, `[B, steps, rows]`, or None where no gate reads it.
        states: the states before its first step, then after each of its steps.
    """

    first: int
    one_step: OneStep
    projected: Tensor | None
    states: list[States]

    def step(self, offset: int, states: States) -> States:
        """The states after the step at `first + offset`, from those before it."""
        values = self._evaluate(offset, states)
        return tuple(values[index] for index in self.one_step.program.outputs)

    @torch.no_grad()
    def gates(self) -> dict[str, Tensor]:
        """Each gate's value at each of its steps, `[B, steps, H]`, as `Recurrent` returns them."""
        program = self.one_step.program
        gates: dict[str, list[Tensor]] = {gate: [] for gate in program.gates}
        for offset, states in enumerate(self.states[:-1]):
            values = self._evaluate(offset, states)
            for gate, nodes in program.gate_values.items():
                gates[gate].append(torch.stack([values[node].expand_as(states[0]) for node in nodes]).sum(0))
        return {gate: torch.stack(values, 1) for gate, values in gates.items()}

    def _evaluate(self, offset: int, states: States) -> list[Any]:
        projected = None if self.projected is None else self.projected[:, offset]
        return self.one_step.evaluate(projected, states, {})


def rows_of_one_length(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, str]:
    """Rows that are all of one length: ragged ones, cut to the shortest of them that has at least 2 steps.

    Args:
        x: `[B, T, I]`.
        lengths: `[B]`, of each row; None where all are T long.

    Returns:
        Those rows, `[B', T', I]`, without rows of fewer than 2 steps; and what was done, in words, or nothing.

    Raises:
        ShapeError: `lengths` does not fit, or no row has 2 steps.
    """
    if lengths is None:
        return x, ""
    counts = lengths.tolist()
    if (
        lengths.ndim != 1
        or x.ndim != 3
        or len(counts) != len(x)
        or not all(0 <= n <= x.shape[1] for n in counts)
    ):
        raise ShapeError(f"lengths: expected one per row of x {list(x.shape)}, 0 to T, got {counts}.")
    kept = [row for row, count in enumerate(counts) if count >= 2]
    if not kept:
        raise ShapeError(f"lengths: expected a row of at least 2 steps to look back over, got {counts}.")
    steps = min(counts[row] for row in kept)
    if len(kept) == len(x) and steps == x.shape[1]:
        return x, ""
    rows = (
        f"{len(kept)} of {len(x)} rows" if len(kept) < len(x) else f"{len(x)} row{'s' if len(x) > 1 else ''}"
    )
    return x[kept, :steps], f"{rows} cut to {steps:,} steps, the shortest one's"


def trajectories(rnn: Recurrent, x: Tensor) -> list[Trajectory]:
    """Run every layer over `x` in evaluation mode, from the state a sequence starts with.

    Args:
        rnn: the layers; they are left as they are, mode and carried state included.
        x: `[B, T, I]`, at least one row and one step, every row T long.

    Returns:
        Each direction of each layer, the lowest layer first.

    Raises:
        ShapeError: `x` does not fit, or a layer's states overflow.
    """
    if x.ndim != 3 or x.shape[2] != rnn.input_size or 0 in x.shape:
        raise ShapeError(f"x: expected [batch, time, {rnn.input_size}], none of them 0, got {list(x.shape)}.")
    made = []
    start = rnn.first_state(x.shape[0])
    inputs = x.detach()
    for layer in range(rnn.num_layers):
        outputs = []
        for direction in range(rnn.directions):
            one = rnn.layer(layer, direction, training=False)
            cell, program = one.cell, one.program
            parameters = {name: tensor.detach() for name, tensor in one.parameters.items()}
            initial = tuple(start.layers[layer][direction][name].detach() for name in program.states)
            read = inputs.flip(1) if direction else inputs
            borders, output = _run(OneStep(program, parameters, cell.hidden_size), read, initial)
            _check_finite(output, layer)
            name = type(cell).__name__
            made.append(Trajectory(layer, DIRECTIONS[direction], program, parameters, read, borders, name))
            outputs.append(output.flip(1) if direction else output)
        following = torch.cat(outputs, 2)  # [B, T, D*H]
        inputs = following + inputs if rnn.residual and layer else following
    return made


@torch.no_grad()
def _run(one_step: OneStep, inputs: Tensor, states: States) -> tuple[tuple[States, ...], Tensor]:
    borders, outputs = [], []
    for first in range(0, inputs.shape[1], CHUNK):
        borders.append(states)
        projected = one_step.project(inputs[:, first : first + CHUNK])
        chunk = Chunk(first, one_step, projected, [])
        for offset in range(min(CHUNK, inputs.shape[1] - first)):
            states = chunk.step(offset, states)
            outputs.append(states[0])
    return tuple(borders), torch.stack(outputs, 1)  # [B, T, H]


def _check_finite(output: Tensor, layer: int) -> None:
    bad = (~output.isfinite()).any(2).any(0).nonzero()
    if len(bad):
        raise ShapeError(
            f"x: the states of layer {layer + 1} exploded: they are not finite from step {int(bad[0])} on; "
            "inspect a shorter sequence, or smaller inputs or weights."
        )
