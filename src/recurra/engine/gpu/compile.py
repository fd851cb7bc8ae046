"""Compiling a program's kernels ahead of time, for a GPU that the machine need not have, and what they take of it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from recurra.engine.gpu.build import ALIGNMENT, OPTIONS, Kernel

HOPPER = 90  # compute capability 9.0


@dataclass(frozen=True)
class Usage:
    """What one compiled kernel takes: registers of a thread, bytes a thread spills, bytes of shared memory."""

    registers: int
    spilled: int
    shared: int
    threads: int


def compiled(
    kernel: Kernel,
    backwards: bool,
    dtype: torch.dtype = torch.float32,
    precision: str = "ieee",
    capability: int = HOPPER,
) -> Usage:
    """Compile one direction to machine code; sizes are arguments, so one width is as good as another."""
    function = kernel.backward if backwards else kernel.forward
    constants = kernel.constants(dtype, backwards, precision, save=True)
    real = {torch.float32: "*fp32", torch.float64: "*fp64"}[dtype]
    types = {"order": "*i64", "lengths": "*i64", "batch": "i32", "steps": "i32", "units": "i32", "H": "i32"}
    types |= {f"mask_{node.name}": "*u8" for node in kernel.program.nodes if node.op == "step_mask"}
    signature = {
        name: "constexpr" if name in constants else types.get(name, real) for name in function.arg_names
    }
    divisible = [["tt.divisibility", ALIGNMENT]]
    attributes = {
        (place,): divisible
        for place, (name, kind) in enumerate(signature.items())
        if kind.startswith("*") or name == "H"
    }
    source = ASTSource(function, signature, constants, attributes)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=dict(OPTIONS))
    return _usage(made.asm["cubin"], made.metadata.shared, 32 * OPTIONS["num_warps"])


def _usage(cubin: bytes, shared: int, threads: int) -> Usage:
    """Read by the tool that comes with Triton; what a kernel spills lies in its local memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        tool = triton.knobs.nvidia.cuobjdump.path
        text = subprocess.run(
            [tool, "--dump-resource-usage", str(path)], capture_output=True, text=True, check=True
        ).stdout
    usage = re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", text)
    assert usage is not None, text
    registers, stack, local = map(int, usage.groups())
    return Usage(registers, stack + local, shared, threads)
