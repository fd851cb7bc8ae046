"""The cpu backend: C++ generated from a program, compiled by the system's compiler, run in torch's threads."""

from __future__ import annotations

import torch

from recurra.cells.program import Program
from recurra.engine.backend import Call, Options, Result
from recurra.engine.chunks import run_chunks
from recurra.engine.cpu import build
from recurra.engine.inputs import per_unit_parameters, project

NAME = "cpu"
DEVICE = "cpu"
KEEP_BYTES = 2**30  # for one direction of one layer
AVX512 = "avx512f" in build.features().split()


def can_run(program: Program, options: Options) -> str | None:
    """Yes for every program in float32 and float64 on a CPU with a compiler, where no gates are wanted."""
    if options.device != DEVICE:
        return "it runs on the CPU"
    if options.return_gates:
        return "its kernels do not give out the gates"
    if options.dtype not in (torch.float32, torch.float64):
        return f"its kernels take float32 and float64, not {options.dtype}"
    return build.obstacle()


def run(call: Call) -> Result:
    """The generated kernel; in pieces where a whole sequence would keep more than `KEEP_BYTES` for its gradients."""
    if torch.is_grad_enabled() and call.x.shape[1]:
        steps, bytes_kept = call.x.shape[1], _bytes_kept(call)
        if bytes_kept > KEEP_BYTES:
            return run_chunks(_run, call, max(1, steps * (KEEP_BYTES // 4) // bytes_kept))
    return _run(call)


def _bytes_kept(call: Call) -> int:
    """At most so much is kept for the gradients: about twice as many values as there are gates, and the states."""
    program, (rows, hidden) = call.program, call.states[0].shape
    values = 2 * len(program.gates) + len(program.states)
    return rows * call.x.shape[1] * hidden * values * call.states[0].element_size()


def _run(call: Call) -> Result:
    from recurra.engine.cpu import operator

    projected, per_unit = (
        project(call),
        per_unit_parameters(call.program, call.parameters, call.states[0].shape[1]),
    )
    masks = [call.masks[name] for name in call.program.masks]
    weight = call.parameters.get("hidden_weight")
    outputs, states = operator.run(
        call.program, projected, weight, call.lengths, call.states, per_unit, masks
    )
    return Result(outputs, states, {})
