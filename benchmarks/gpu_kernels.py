"""What the generated GPU kernels take of a multiprocessor, and, where there is a GPU, how long they take.

    python benchmarks/gpu_kernels.py [--cells lstm,gru] [--types float32,tf32,float64] [--shapes 100x64x512]

Every cell's two kernels are compiled to machine code for compute capability 9.0, which needs no GPU: registers of a
thread, bytes that a thread spills, bytes of shared memory. A spill is a failure: the exit status is 1. Where
PyTorch sees a CUDA device, each cell is also compared with the reference there, and a training step is timed
against the reference (a loop) and, where it has the cell, cuDNN; medians. Without one no time is reported.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch

from recurra import Recurrent
from recurra.cells import CELLS
from recurra.engine.gpu.build import Kernel
from recurra.engine.gpu.compile import compiled

WIDTH = 512
TYPES = {
    "float32": (torch.float32, "ieee"),
    "tf32": (torch.float32, "tf32"),
    "float64": (torch.float64, "ieee"),
}
SHAPES = ((100, 64, 128), (100, 64, 512), (256, 256, 256))
VENDOR = ("elman", "relu_elman", "gru_reset_after", "lstm")


def usage_table(cells: list[str], types: list[str]) -> dict[str, Any]:
    """A row per kernel, printed as it is compiled."""
    result: dict[str, Any] = {}
    print(f"{'cell':22} {'kernel':9} {'type':8} {'registers':>9} {'spilled':>8} {'shared':>8}")
    for cell in cells:
        own = Kernel(CELLS[cell](WIDTH, WIDTH).program)
        for name in types:
            for backwards in (False, True):
                kernel = "backward" if backwards else "forward"
                usage = compiled(own, backwards, *TYPES[name])
                print(
                    f"{cell:22} {kernel:9} {name:8} {usage.registers:9} {usage.spilled:8} {usage.shared:8}",
                    flush=True,
                )
                result[f"{cell} {kernel} {name}"] = {
                    "registers": usage.registers,
                    "spilled": usage.spilled,
                    "shared": usage.shared,
                }
    return result


def step_of(cell: str, backend: str, x: torch.Tensor) -> Callable[[], list[torch.Tensor]]:
    """A training step; the weights are the same for every backend."""
    torch.manual_seed(1)
    with torch.device(x.device):
        rnn = Recurrent(CELLS[cell], x.shape[2], x.shape[2], backend=backend)

    def step() -> list[torch.Tensor]:
        rnn.zero_grad()
        outputs, _ = rnn(x)
        outputs.backward(torch.ones_like(outputs))
        return [outputs.detach(), *(p.grad for p in rnn.parameters() if p.grad is not None)]

    return step


def milliseconds(step: Callable[[], Any], repeats: int) -> float:
    times = []
    for number in range(repeats + 3):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step()
        end.record()
        end.synchronize()
        if number >= 3:
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def timed(cells: list[str], shapes: list[tuple[int, int, int]], repeats: int) -> dict[str, Any]:
    """Differences from the reference and times, on the GPU."""
    result: dict[str, Any] = {}
    for cell in cells:
        for steps, rows, hidden in shapes:
            x = torch.randn(rows, steps, hidden, device="cuda")
            backends = ["gpu", "reference", *(["vendor"] if cell in VENDOR else [])]
            own = {backend: step_of(cell, backend, x) for backend in backends}
            ours, theirs = own["gpu"](), own["reference"]()
            worst = max(
                ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()
                for a, b in zip(ours, theirs, strict=True)
            )
            took = {backend: milliseconds(step, repeats) for backend, step in own.items()}
            shape = f"{cell} {steps}x{rows}x{hidden}"
            result[f"{shape} difference"] = worst
            for other in backends[1:]:
                result[f"{shape} over {other}"] = round(took[other] / took["gpu"], 3)
            row = "  ".join(f"{name} {value:8.2f} ms" for name, value in took.items())
            print(f"{shape:34} {row}  difference {worst:.1e}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", help="names, separated by commas, instead of all")
    parser.add_argument("--types", default="float32,tf32", help=f"of {', '.join(TYPES)}")
    parser.add_argument("--shapes", help="TxBxH, separated by commas, instead of the table's")
    parser.add_argument("--repeats", type=int, default=15, help="timed steps of each")
    arguments = parser.parse_args()
    cells = arguments.cells.split(",") if arguments.cells else list(CELLS)
    result = usage_table(cells, arguments.types.split(","))
    spills = sorted(name for name, usage in result.items() if usage["spilled"])
    result["spills"] = spills
    if torch.cuda.is_available():
        shapes = list(SHAPES)
        if arguments.shapes:
            shapes = [tuple(map(int, shape.split("x"))) for shape in arguments.shapes.split(",")]  # type: ignore[misc]
        result |= timed(cells, shapes, arguments.repeats)
        result["gpu"] = torch.cuda.get_device_name()
    else:
        print("There is no CUDA device here: compiled only, nothing was run or timed.")
        result["gpu"] = None
    print(json.dumps({**result, "capability": "9.0", "torch": str(torch.__version__)}))
    sys.exit(bool(spills))


if __name__ == "__main__":
    main()
