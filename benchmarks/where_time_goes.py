"""Where the time of a training step of one layer goes, and how far each part is from the matrix product's peak.

    python benchmarks/where_time_goes.py [--cell lstm] [--shape 50x32x256] [--repeats 40]

The parts of `backend="cpu"` are timed one by one inside whole steps, forward and backward; medians. The peak is that
of square products of 1,024, measured in the same minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from recurra import Recurrent
from recurra.cells import CELLS
from recurra.engine import cpu
from recurra.engine.cpu import kernel
from recurra.inspection.machine import describe, gemm_gflops
from recurra.inspection.speed import Shape


class Clock:
    """Seconds by part of a step; functions are timed where they stand."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    def watch(self, owner: Any, name: str, part: Callable[..., str]) -> None:
        function = getattr(owner, name)

        def timed(*arguments: Any, **settings: Any) -> Any:
            began = time.perf_counter()
            result = function(*arguments, **settings)
            key = part(*arguments, **settings)
            self.parts[key] = self.parts.get(key, 0.0) + time.perf_counter() - began
            return result

        setattr(owner, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", default="lstm", help="a built-in cell")
    parser.add_argument("--shape", default="50x32x256", help="TxBxH, I = H")
    parser.add_argument("--repeats", type=int, default=40, help="timed steps")
    arguments = parser.parse_args()
    sizes = Shape.from_text(arguments.shape)
    torch.manual_seed(1)
    x = torch.randn(sizes.rows, sizes.steps, sizes.hidden)
    rnn = Recurrent(CELLS[arguments.cell], sizes.hidden, sizes.hidden, backend="cpu")
    clock = Clock()
    clock.watch(cpu, "project", lambda *_: "products with the inputs")
    clock.watch(kernel.Kernel, "pack", lambda *_, **__: "packing the hidden weights")
    clock.watch(
        kernel.Kernel,
        "launch",
        lambda *_, backwards, **__: "kernel, backward" if backwards else "kernel, forward",
    )
    clock.watch(kernel.Kernel, "weight_gradient", lambda *_: "gradient of the hidden weights")
    steps: list[dict[str, float]] = []
    for number in range(arguments.repeats + 3):
        clock.parts = {}
        rnn.zero_grad()
        began = time.perf_counter()
        outputs, _ = rnn(x)
        forward = time.perf_counter() - began
        outputs.backward(torch.ones_like(outputs))
        whole = time.perf_counter() - began
        if number >= 3:
            steps.append(clock.parts | {"forward": forward, "whole step": whole})
    took = {part: statistics.median(one[part] for one in steps) for part in steps[0]}
    program = rnn.cells[0][0].program
    product = 2 * sizes.steps * sizes.rows * sizes.hidden**2 / 1e9  # of one gate's matrix, in GFLOP
    inputs, hidden = (product * len(gates) for gates in (program.input_gates, program.hidden_gates))
    parts = [part for part in took if part not in ("forward", "whole step")]
    took["gradient of the input weights, and the rest"] = took["whole step"] - sum(
        took[part] for part in parts
    )
    work = {
        "products with the inputs": inputs,
        "kernel, forward": hidden,
        "kernel, backward": hidden,
        "gradient of the hidden weights": hidden,
        "gradient of the input weights, and the rest": inputs,
        "whole step": 2 * inputs + 3 * hidden,
    }
    peak = gemm_gflops()
    print(f"{'':45} {'ms':>8} {'share':>7} {'GFLOP/s':>8} {'of peak':>8}")
    for part, seconds in took.items():
        rate = work[part] / seconds if part in work else 0.0
        shown = f"{rate:8.1f} {rate / peak:8.0%}" if rate else ""
        print(f"{part:45} {1e3 * seconds:8.2f} {seconds / took['whole step']:7.0%} {shown}")
    milliseconds = {f"{part} ms": round(1e3 * seconds, 3) for part, seconds in took.items()}
    print(json.dumps({"cell": arguments.cell, "shape": str(sizes), **milliseconds, **describe()}))


if __name__ == "__main__":
    main()
