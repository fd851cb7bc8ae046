"""What every backend is given and what it gives back.

B batch, T time, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from recurra.cells.program import Program


@dataclass(frozen=True)
class Options:
    """What the choice of a backend depends on, besides the program; `ragged`: rows of different lengths."""

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    return_gates: bool = False
    ragged: bool = False


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
    """

    program: Program
    parameters: Mapping[str, Tensor]
    x: Tensor
    states: tuple[Tensor, ...]
    lengths: Tensor | None = None
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    return_gates: bool = False


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
