"""The cpu backend: C++ generated from a program, compiled by the system's compiler, run in torch's threads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from recurra.cells.program import Program
from recurra.engine.backend import Call, Options, Result
from recurra.engine.chunks import run_chunks
from recurra.engine.cpu import build
from recurra.engine.cpu.emit import vectors

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

    program, parameters = call.program, call.parameters
    dtype, hidden = call.states[0].dtype, call.states[0].shape[1]
    with torch.autocast("cpu", enabled=False):
        if program.input_gates:
            x = call.x.to(dtype)
            projected = functional.linear(x, parameters["input_weight"], parameters.get("bias"))
        else:
            projected = call.x.new_empty(*call.x.shape[:2], 0, dtype=dtype)
        per_unit = per_unit_parameters(program, parameters, hidden)
        masks = [call.masks[name] for name in program.masks]
        weight = parameters.get("hidden_weight")
        outputs, states = operator.run(program, projected, weight, call.lengths, call.states, per_unit, masks)
    return Result(outputs, states, {})


def per_unit_parameters(program: Program, parameters: Mapping[str, Tensor], hidden: int) -> list[Tensor]:
    """Vectors, norms' gains and shifts and the hidden biases, `[H]` each, in the kernels' order."""
    found = []
    for name in vectors(program):
        if name.startswith("hidden_bias_"):
            first = program.hidden_bias_gates.index(name.removeprefix("hidden_bias_")) * hidden
            found.append(parameters["hidden_bias"][first : first + hidden])
        else:
            found.append(parameters[name])
    return found
