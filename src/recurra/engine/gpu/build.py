"""From generated source to Triton's functions, and the sizes of their blocks."""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Mapping
from typing import Any

import torch

from recurra.cells.program import Program
from recurra.engine.gpu import functions
from recurra.engine.gpu.emit import emit, slots
from recurra.engine.plan import Plan, StepPlan, plan

ROWS = 16  # of a program: as many as a tensor core takes
ALIGNMENT = 16  # of a kernel's width, in units; addresses of other widths take a register each

# What the registers hold, found with the assembler: for each row the products' sums of a stage, and the pointwise
# operations of a kernel (a power is many), both times the units of a block.
MOST_SUMS = 256
MOST_WORK = 4096
WORK = {"pow": 16}

# What Triton is told of every kernel. Left alone, the assembler spills to make room for a second program on a
# multiprocessor, where there is none.
OPTIONS: Mapping[str, Any] = {"num_warps": 8, "num_stages": 3, "maxnreg": 255, "enable_fp_fusion": True}


class Kernel:
    """One program's kernels: its plan, and Triton's functions `forward` and `backward`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.plan: StepPlan = plan(program)
        self.source = emit(self.plan)
        defined = _define(self.source)
        self.forward, self.backward = defined["forward"], defined["backward"]
        self.slots = {False: len(slots(self.plan.forward)), True: len(slots(self.plan.backward))}

    def constants(self, dtype: torch.dtype, backwards: bool, precision: str, save: bool) -> dict[str, Any]:
        """What a kernel is compiled for: its blocks, small enough that no register spills.

        Args:
            dtype: float32 or float64.
            backwards: which of the two kernels.
            precision: of products in float32, "ieee" or "tf32".
            save: whether the forward kernel keeps what the backward one needs.
        """
        one: Plan = self.plan.backward if backwards else self.plan.forward
        widest = 64 if dtype == torch.float32 else 32
        constants: dict[str, Any] = {"ROWS": ROWS, "PRECISION": precision}
        constants["INNER"] = 16 if precision == "tf32" else 8
        work = sum(WORK.get(one.nodes[index].op, 1) for stage in one.stages for index in stage.body)
        for number, stage in enumerate(one.stages):
            units = widest
            while units > 16 and (units * len(stage.sums) > MOST_SUMS or units * work > MOST_WORK):
                units //= 2
            constants[f"UNITS{number}"] = units
        return constants if backwards else constants | {"SAVE": save}


def _define(source: str) -> dict[str, Any]:
    """What the source defines. Triton reads it again, from Python's cache of source lines."""
    name = f"<recurra {hashlib.sha256(source.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    names = dict(vars(functions))
    exec(compile(source, name, "exec"), names)  # noqa: S102 - made by `emit` from a program, never loaded
    return names
