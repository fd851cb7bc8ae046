"""What every timing says of the machine it was taken on."""

from __future__ import annotations

import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch


def describe() -> dict[str, Any]:
    """`cpu`, `flags` (the vector instructions it has), `threads`, `torch`, and `gemm_gflops` measured now."""
    fields: dict[str, str] = {}
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else []:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    known = fields.get("flags", fields.get("Features", "")).split()
    vector = ("avx", "avx2", "avx512", "fma", "amx", "neon", "asimd", "sve", "f16c", "bf16", "vnni")
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "flags": [flag for flag in known if any(name in flag for name in vector)],
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "gemm_gflops": round(gemm_gflops(), 1),
    }


def gemm_gflops(size: int = 1024, repeats: int = 15) -> float:
    """The median rate of a square float32 matrix product, in GFLOP/s."""
    a, b = torch.randn(size, size, device="cpu"), torch.randn(size, size, device="cpu")
    times = []
    for _ in range(repeats + 3):
        begin = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / statistics.median(times[3:]) / 1e9
