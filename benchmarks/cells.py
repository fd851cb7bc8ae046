"""Generated kernels against PyTorch's own and against the same equations as a loop: times of a training step.

    python benchmarks/cells.py [--repeats 15] [--shapes 50x32x256,100x32x64]

A step is forward and backward over B rows of T steps with I = H, float32. For each cell: the reference
backend (a loop with the input product taken out of it), the vendor's where it has the cell, and the generated
one, in turn in one process; what is compared is the median. A ratio above 1 means that the generated kernel is
faster.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable

import torch
from machine import describe

from recurra import Recurrent
from recurra.cells import CELLS

SHAPES = ((20, 20, 200), (50, 50, 128), (30, 64, 512), (50, 32, 256), (100, 32, 64), (500, 16, 128))
VENDOR = ("elman", "gru_reset_after", "lstm")
CELLS_TIMED = (*VENDOR, "gru", "peephole_lstm", "layer_norm_lstm")


def step_of(cell: str, hidden: int, backend: str, x: torch.Tensor) -> Callable[[], None]:
    rnn = Recurrent(CELLS[cell], hidden, hidden, backend=backend)

    def step() -> None:
        rnn.zero_grad()
        outputs, _ = rnn(x)
        outputs.backward(torch.ones_like(outputs))

    return step


def medians(steps: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(repeats + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number >= 2:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def mean(values: list[float]) -> float:
    """Geometric."""
    return round(math.exp(statistics.fmean(map(math.log, values))), 3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15, help="timed steps of each")
    parser.add_argument("--shapes", help="TxBxH, separated by commas, instead of the table's")
    parser.add_argument("--cells", help="names, separated by commas, instead of the table's")
    arguments = parser.parse_args()
    shapes = SHAPES
    if arguments.shapes:
        shapes = tuple(tuple(map(int, shape.split("x"))) for shape in arguments.shapes.split(","))
    cells = arguments.cells.split(",") if arguments.cells else CELLS_TIMED
    result: dict[str, object] = {}
    for cell in cells:
        against: dict[str, list[float]] = {}
        for steps, rows, hidden in shapes:
            torch.manual_seed(1)
            x = torch.randn(rows, steps, hidden)
            backends = ["cpu", "reference", *(["vendor"] if cell in VENDOR else [])]
            took = medians({b: step_of(cell, hidden, b, x) for b in backends}, arguments.repeats)
            gates = len(CELLS[cell].gates)
            flops = 3 * 2 * steps * rows * 2 * hidden * gates * hidden
            shape = f"{steps}x{rows}x{hidden}"
            for other in backends[1:]:
                ratio = took[other] / took["cpu"]
                against.setdefault(other, []).append(ratio)
                result[f"{cell} {shape} over {other}"] = round(ratio, 3)
            result[f"{cell} {shape} gflops"] = round(flops / took["cpu"] / 1e9, 1)
            row = "  ".join(f"{name} {1e3 * value:8.2f} ms" for name, value in took.items())
            print(f"{cell:16} {shape:12} {row}  {flops / took['cpu'] / 1e9:6.1f} GFLOP/s", flush=True)
        for other, ratios in against.items():
            result[f"{cell} over {other}"] = mean(ratios)
    print(json.dumps({**result, **describe()}))


if __name__ == "__main__":
    main()
