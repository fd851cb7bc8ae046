"""The cpu backend: C++ generated from a program, compiled by the system's compiler, run in torch's threads."""

from __future__ import annotations

import torch
from torch.nn import functional

from recurra.cells.program import Program
from recurra.engine.backend import Call, Options, Result
from recurra.engine.cpu import build

NAME = "cpu"


def can_run(program: Program, options: Options) -> str | None:
    """Yes for every program in float32 and float64 on a CPU with a compiler, where no gates are wanted."""
    if options.device != "cpu":
        return "it runs on the CPU"
    if options.return_gates:
        return "its kernels do not give out the gates"
    if options.dtype not in (torch.float32, torch.float64):
        return f"its kernels take float32 and float64, not {options.dtype}"
    if build.compiler() is None:
        return "there is no C++ compiler; install g++ or clang++, or set $CXX"
    return None


def run(call: Call) -> Result:
    """One call of the generated kernel."""
    from recurra.engine.cpu import kernel

    program, parameters = call.program, call.parameters
    dtype, hidden = call.states[0].dtype, call.states[0].shape[1]
    with torch.autocast("cpu", enabled=False):
        if program.input_gates:
            x = call.x.to(dtype)
            projected = functional.linear(x, parameters["input_weight"], parameters.get("bias"))
        else:
            projected = call.x.new_empty(*call.x.shape[:2], 0, dtype=dtype)
        per_unit = []
        own = kernel.kernel(program, dtype == torch.float64)
        for name in own.vectors:
            if name.startswith("hidden_bias_"):
                first = program.hidden_bias_gates.index(name.removeprefix("hidden_bias_")) * hidden
                per_unit.append(parameters["hidden_bias"][first : first + hidden])
            else:
                per_unit.append(parameters[name])
        masks = [call.masks[name] for name in program.masks]
        weight = parameters.get("hidden_weight")
        outputs, states = kernel.run(own, projected, weight, call.states, per_unit, masks, call.lengths)
    return Result(outputs, states, {})
