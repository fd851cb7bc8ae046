"""Which backend runs a program, and why each other does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType

import torch

from recurra.cells.cell import Cell
from recurra.cells.program import Program
from recurra.cells.transform import with_recurrent_dropout, with_zoneout
from recurra.engine import cpu, reference, vendor
from recurra.engine.backend import Options
from recurra.errors import BackendError, nearest

BACKENDS: dict[str, ModuleType] = {backend.NAME: backend for backend in (vendor, cpu, reference)}
CHOICES = ("auto", *BACKENDS)
# What "auto" takes, in order of preference. A choice depends on program, options and machine, never on a timing.
# The cpu backend compiles on first use and is new: for now it runs where it is named.
AUTOMATIC = (vendor, reference)


def check_name(backend: str) -> None:
    """Raise unless `backend` is "auto" or the name of a backend.

    Raises:
        BackendError: it is neither.
    """
    if backend not in CHOICES:
        raise BackendError(
            f"backend: expected one of {', '.join(CHOICES)}, got {backend!r}.{nearest(backend, CHOICES)}"
        )


def choose(program: Program, options: Options, backend: str = "auto") -> ModuleType:
    """The backend that runs `program`: the one named, or under "auto" the first that can.

    Raises:
        BackendError: the named backend cannot run it, or there is none of that name.
    """
    check_name(backend)
    if backend == "auto":
        return next(module for module in AUTOMATIC if module.can_run(program, options) is None)
    reason = BACKENDS[backend].can_run(program, options)
    if reason is not None:
        raise BackendError(
            f"backend {backend!r} cannot run this program: {reason}. "
            "Use backend='auto'; `recurra explain` tells what runs."
        )
    return BACKENDS[backend]


@dataclass(frozen=True)
class Verdict:
    """One line of `explain`: a backend, whether it can run, whether `auto` takes it, and why."""

    backend: str
    runs: bool
    chosen: bool
    reason: str


def explain(
    cell: type[Cell],
    input_size: int,
    hidden_size: int,
    *,
    recurrent_dropout: float = 0.0,
    zoneout: float | Mapping[str, float] = 0.0,
    return_gates: bool = False,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> list[Verdict]:
    """What would run here in training, and why each other backend would not.

    Direction, depth and dropout between layers do not count: a backend runs one direction of one layer, and
    what happens between layers is outside it.
    """
    program = cell(input_size, hidden_size).program
    if recurrent_dropout:
        program = with_recurrent_dropout(program)
    rates = zoneout if isinstance(zoneout, Mapping) else dict.fromkeys(program.states, zoneout)
    program = with_zoneout(program, rates, training=True)
    options = Options(device=device, dtype=dtype, return_gates=return_gates)
    chosen = choose(program, options)
    verdicts = []
    for name, backend in BACKENDS.items():
        reason = backend.can_run(program, options)
        could = f"could run; auto prefers {chosen.NAME}"
        if backend not in AUTOMATIC:
            could = f"could run, where it is named: backend {name}"
        why = reason or ("auto takes it" if backend is chosen else could)
        verdicts.append(Verdict(name, reason is None, backend is chosen, why))
    return verdicts
