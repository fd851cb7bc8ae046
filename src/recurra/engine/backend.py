"""What every backend is given and what it gives back.

B batch, T time, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from recurra.cells.cell import Cell
from recurra.cells.program import Program


@dataclass(frozen=True)
class Options:
    """What the choice of a backend depends on, besides the program.

    Attributes:
        device: type of the device.
        dtype: type of the inputs.
        return_gates: whether the gates' values are wanted.
        ragged: rows of different lengths.
        chunked: states are kept at the borders of chunks only.
        changes: what regularisation changes in the program or in its weights, by the names of its options.
        transformations: what PyTorch does with the call besides running it, as `transformations()` names it.
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    return_gates: bool = False
    ragged: bool = False
    chunked: bool = False
    changes: tuple[str, ...] = ()
    transformations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """One direction of one layer in one mode: what runs through time.

    Attributes:
        cell: whose step it is.
        program: what a step computes, masks included.
        parameters: by the names a cell gives them; those a program does not use are absent.
        changes: as in `Options`.
    """

    cell: Cell
    program: Program
    parameters: Mapping[str, Tensor]
    changes: tuple[str, ...]

    @property
    def like(self) -> Tensor:
        """A tensor of the layer's type and device: PyTorch's defaults where the cell has no parameters."""
        first = next(iter(self.parameters.values()), None)
        return torch.empty(0) if first is None else first.detach()


@dataclass(frozen=True)
class Call:
    """One direction of one layer over a whole sequence.

    Attributes:
        program: what a step computes, masks included.
        parameters: by the names a cell gives them; those a program does not use are absent.
        x: `[B, T, I]`.
        states: the initial states `[B, H]`, in the program's order.
        lengths: `[B]` (int64) on the device of `x`, or None where every row is T long.
        masks: by name, `[B, H]` or, for zoneout, boolean `[B, T, H]`.
        return_gates: whether the gates' values are wanted.
        cell: whose program and parameters these are; the textbook backend calls it.
    """

    program: Program
    parameters: Mapping[str, Tensor]
    x: Tensor
    states: tuple[Tensor, ...]
    lengths: Tensor | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    return_gates: bool = False
    cell: Cell | None = None


@dataclass(frozen=True)
class Result:
    """Outputs `[B, T, H]`, zero past a row's length; states at each row's length; gates' values by name."""

    outputs: Tensor
    states: tuple[Tensor, ...]
    gates: dict[str, Tensor]


class Backend(Protocol):
    """A module of `recurra.engine` that runs programs.

    Attributes:
        NAME: what it is called.
        DEVICE: the type of device that it is for, or None for any.
    """

    NAME: str
    DEVICE: str | None

    def can_run(self, program: Program, options: Options) -> str | None:
        """None for yes, otherwise the reason why not."""
        ...

    def run(self, call: Call) -> Result:
        """Run a program that `can_run` accepted."""
        ...
