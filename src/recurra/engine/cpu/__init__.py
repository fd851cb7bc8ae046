"""The cpu backend: C++ generated from a program, compiled by the system's compiler, run in torch's threads."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.engine.backend import Call, Options, Result
from recurra.engine.chunks import run_chunks
from recurra.engine.cpu import build
from recurra.engine.inputs import per_unit_parameters, project
from recurra.engine.transformations import COMPILE, EXPORT
from recurra.errors import BackendError

NAME = "cpu"
DEVICE = "cpu"
FULLGRAPH = (
    "backend 'cpu' reads lengths as numbers, which torch.compile(fullgraph=True) does not allow; use "
    "backend='reference', rows of one length, or fullgraph=False"
)
KEEP_BYTES = 2**30  # for one direction of one layer
AVX512 = "avx512f" in build.features().split()
BFLOAT16 = "avx512_bf16" in build.features().split()  # the processor multiplies bfloat16 numbers


def can_run(program: Program, options: Options) -> str | None:
    """Yes for every program in float32 and float64 on a CPU with a compiler, where no gates are wanted."""
    if options.device != DEVICE:
        return "it runs on the CPU"
    if options.return_gates:
        return "its kernels do not give out the gates"
    if options.dtype not in (torch.float32, torch.float64):
        return f"its kernels take float32 and float64, not {options.dtype}"
    foreign = set(options.transformations) - {COMPILE, EXPORT}
    if foreign:
        return f"its kernels do not go through {min(foreign)}"
    if EXPORT in options.transformations and options.ragged:
        return "it reads lengths as numbers, which a graph made by torch.export cannot"
    return build.obstacle() or _refused.get((program.key, options.dtype))


# By program and type: why there are no kernels: the compiler refuses them, or the cache cannot be used.
_refused: dict[tuple[str, torch.dtype], str] = {}


def prepare(program: Program, options: Options) -> str | None:
    """Compile a program's kernels, unless that has been done; None, or why there are none."""
    from recurra.engine.cpu.kernel import kernel_of

    try:
        kernel_of(program.key, options.dtype == torch.float64, _in_bfloat16(options.dtype))
    except BackendError as error:
        remember(program, options.dtype, error)
    return _refused.get((program.key, options.dtype))


def remember(program: Program, dtype: torch.dtype, error: BackendError) -> None:
    """That there are no kernels of a program, and why: from now on `can_run` says so."""
    _refused[program.key, dtype] = build.reason(error)


def run(call: Call) -> Result:
    """The generated kernel; in pieces where a whole sequence would keep more than `KEEP_BYTES` for its gradients."""
    if torch.is_grad_enabled() and call.x.shape[1]:
        steps, bytes_kept = call.x.shape[1], _bytes_kept(call)
        if bytes_kept > KEEP_BYTES:
            return run_chunks(_run, call, max(1, steps * (KEEP_BYTES // 4) // bytes_kept))
    return _run(call)


def _bytes_kept(call: Call) -> int:
    """The most that is kept for the gradients: about two values per gate, and the states."""
    program, (rows, hidden) = call.program, call.states[0].shape
    values = 2 * len(program.gates) + len(program.states)
    return rows * call.x.shape[1] * hidden * values * call.states[0].element_size()


def _run(call: Call) -> Result:
    """Run over the unpadded steps alone."""
    from recurra.engine.cpu import operator

    program, (batch, hidden) = call.program, call.states[0].shape
    steps = call.x.shape[1]
    unpadded = None
    if call.lengths is not None:
        if torch.compiler.is_compiling():
            torch._dynamo.graph_break(msg=FULLGRAPH)
        time = torch.arange(steps, device=call.lengths.device)
        unpadded = (time < call.lengths[:, None]).flatten().nonzero().squeeze(1)  # [N]
    bfloat16 = _in_bfloat16(call.states[0].dtype)
    projected = project(call, _without_padding(call.x, unpadded), bfloat16)
    held = [call.masks[name] for name in program.masks]
    masks = [_without_padding(mask, unpadded) if mask.ndim == 3 else mask for mask in held]
    per_unit = per_unit_parameters(program, call.parameters, hidden)
    weight = call.parameters.get("hidden_weight")
    outputs, states = operator.run(
        program, projected, weight, call.lengths, call.states, per_unit, masks, bfloat16
    )
    if unpadded is not None:
        outputs = outputs.new_zeros(batch * steps, hidden).index_copy(0, unpadded, outputs)
    return Result(outputs.view(batch, steps, hidden), states, {})


def _in_bfloat16(dtype: torch.dtype) -> bool:
    """Whether products of states of this type are rounded to bfloat16: under autocast, where the processor can."""
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return BFLOAT16 and autocast and dtype == torch.float32


def _without_padding(x: Tensor, unpadded: Tensor | None) -> Tensor:
    """The unpadded steps `[N, ...]` of `x` `[B, T, ...]`, row after row."""
    flat = x.flatten(0, 1)
    return flat if unpadded is None else flat.index_select(0, unpadded)
