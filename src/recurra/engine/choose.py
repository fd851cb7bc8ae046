"""Which backend runs a program, and why each other does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType

import torch
from torch import Tensor

from recurra.cells.cell import Cell
from recurra.cells.program import Program
from recurra.cells.transform import with_recurrent_dropout, with_zoneout
from recurra.engine import cpu, gpu, reference, textbook, vendor
from recurra.engine.backend import Call, Options, Result
from recurra.engine.chunks import run_chunks
from recurra.errors import BackendError, nearest

BACKENDS: dict[str, ModuleType] = {
    backend.NAME: backend for backend in (vendor, cpu, gpu, reference, textbook)
}
CHOICES = ("auto", *BACKENDS)


def check_name(backend: str) -> None:
    """Raise unless `backend` is "auto" or the name of a backend.

    Raises:
        BackendError: it is neither.
    """
    if backend not in CHOICES:
        raise BackendError(
            f"backend: expected one of {', '.join(CHOICES)}, got {backend!r}.{nearest(backend, CHOICES)}"
        )


def automatic(program: Program, options: Options) -> tuple[ModuleType, ...]:
    """What "auto" tries, in order; it depends on program, options and machine, never on a timing.

    On CUDA devices it is cuDNN; the gpu backend has not yet run on one, and runs where it is named. On the CPU
    generated kernels come first, but for one program: oneDNN's LSTM is written for AVX-512, and where a processor
    has that it is the faster one for rows of one length (`benchmarks/cells.py`).
    """
    if options.device == gpu.DEVICE:
        return vendor, reference
    fused = options.dtype == torch.float32 and vendor.kernel_name(program) == "lstm"
    if fused and cpu.AVX512 and not options.ragged:
        return vendor, cpu, reference
    return cpu, vendor, reference


def choose(program: Program, options: Options, backend: str = "auto") -> ModuleType:
    """The backend that runs `program`: the one named, or under "auto" the first that can.

    Raises:
        BackendError: the named backend cannot run it, or there is none of that name.
    """
    check_name(backend)
    if backend == "auto":
        return next(
            module for module in automatic(program, options) if module.can_run(program, options) is None
        )
    reason = BACKENDS[backend].can_run(program, options)
    if reason is not None:
        other = choose(program, options)
        raise BackendError(
            f"backend {backend!r} cannot run this program: {reason}. Use backend='auto', which runs it on "
            f"{other.NAME!r}; `recurra explain` tells what runs."
        )
    return BACKENDS[backend]


def run(call: Call, options: Options, backend: str, chunk: int | None = None) -> Result:
    """Run a call on the backend named, or under "auto" on the first that can.

    Args:
        call: one direction of one layer.
        options: what the choice depends on.
        backend: as `choose` takes it.
        chunk: keep states every so many steps only, and compute what lies between again for the gradients.

    Raises:
        BackendError: the named backend cannot run it.
    """
    module = choose(call.program, options, backend)
    if 0 in call.x.shape[:2]:
        return _without_steps(call)
    if module is cpu and not options.transformations:
        reason = cpu.prepare(call.program, options)
        if reason is not None:  # from now on `can_run` says so
            module = choose(call.program, options, backend)
    if chunk is None or chunk >= call.x.shape[1]:
        result: Result = module.run(call)
        return result
    return run_chunks(module.run, call, chunk)


def _without_steps(call: Call) -> Result:
    """No rows, or no steps: states pass through. The gradients of everything are zero, and not missing."""
    shape = (*call.x.shape[:2], call.states[0].shape[1])
    tensors = (call.x, *call.parameters.values(), *call.states)
    nothing = sum(tensor.flatten()[:0].sum() for tensor in tensors)
    assert isinstance(nothing, Tensor)
    states = tuple(state + nothing.to(state.dtype) for state in call.states)
    outputs = call.states[0].new_zeros(shape) + nothing.to(call.states[0].dtype)
    gates = call.program.gates if call.return_gates else ()
    return Result(outputs, states, {gate: outputs.detach() for gate in gates})


def check(program: Program, options: Options, backend: str) -> None:
    """Raise unless `backend` can run `program`, here or once it has been moved to the device that backend is for.

    Raises:
        BackendError: the named backend cannot run it, or there is none of that name.
    """
    check_name(backend)
    if options.device == cpu.DEVICE:
        cpu.build.obstacle()  # looked for now: under torch.compile it could not be
    if backend != "auto" and BACKENDS[backend].can_run(program, options) is not None:
        choose(program, replace(options, device=BACKENDS[backend].DEVICE or options.device), backend)


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
    ragged: bool = False,
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
    changes = ("recurrent_dropout",) * bool(recurrent_dropout) + ("zoneout",) * bool(any(rates.values()))
    options = Options(device, dtype, return_gates, ragged, changes=changes)
    chosen = choose(program, options)
    verdicts = []
    for name, backend in BACKENDS.items():
        reason = backend.can_run(program, options)
        why = reason or ("auto takes it" if backend is chosen else f"could run; auto takes {chosen.NAME}")
        verdicts.append(Verdict(name, reason is None, backend is chosen, why))
    return verdicts
