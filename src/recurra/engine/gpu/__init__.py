"""The gpu backend: Triton kernels generated from a program, one pass over time in each direction."""

from __future__ import annotations

import importlib.util
import os

import torch

from recurra.cells.program import Program
from recurra.engine.backend import Call, Options, Result
from recurra.engine.inputs import per_unit_parameters, project

NAME = "gpu"
DEVICE = "cuda"


def interpreting() -> bool:
    """Whether Triton's interpreter is on, in which the kernels run on the CPU, for tests."""
    if "TRITON_INTERPRET" not in os.environ or importlib.util.find_spec("triton") is None:
        return False
    from triton import knobs

    return bool(knobs.runtime.interpret)


def can_run(program: Program, options: Options) -> str | None:
    """Yes for every program in float32 and float64 on a CUDA device with Triton, where no gates are wanted."""
    if options.transformations:
        return f"its kernels do not go through {options.transformations[-1]}"
    interpreted = options.device == "cpu" and interpreting()
    if options.device != DEVICE and not interpreted:
        return "it runs on CUDA devices"
    if options.return_gates:
        return "its kernels do not give out the gates"
    if options.dtype not in (torch.float32, torch.float64):
        return f"its kernels take float32 and float64, not {options.dtype}"
    if importlib.util.find_spec("triton") is None:
        return "there is no Triton; install triton"
    if not interpreted and not torch.cuda.is_available():
        return "PyTorch finds no CUDA device"
    return None


def run(call: Call) -> Result:
    """One launch of the generated kernel, after one product with the inputs."""
    from recurra.engine.gpu.kernel import kernel_of, run as run_kernel

    projected, per_unit = (
        project(call, call.x),
        per_unit_parameters(call.program, call.parameters, call.states[0].shape[1]),
    )
    masks = [call.masks[name] for name in call.program.masks]
    weight = call.parameters.get("hidden_weight")
    with torch.autocast(call.x.device.type, enabled=False):
        kernel = kernel_of(call.program)
        outputs, states = run_kernel(kernel, projected, weight, call.states, per_unit, masks, call.lengths)
    return Result(outputs, states, {})
