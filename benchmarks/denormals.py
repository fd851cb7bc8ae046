"""What gradients of 1e-40 cost, in a loop of one's own and in recurra's training loop.

    python benchmarks/denormals.py [--repeats 10]

A step of `step_overhead.py` (V 65, one layer of 256, batch 32, T 64, Adam), by hand on `nn.LSTM` and by the update of
recurra on generated kernels: with its gradients, and with all of them multiplied by 1e-36, so that most are
below 1.2e-38, which are denormal numbers in float32. Each is taken in a plain loop, where the generated kernels alone
take those for 0, and in the training loop's mode, in which every thread does. Steps are taken in turn, in one process;
medians, in ms. The text is random.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from step_overhead import BATCH, STEPS, VOCABULARY, hand_step, our_step

from recurra.contracts import Batch
from recurra.data.batches import StreamBatches
from recurra.engine.cpu import build
from recurra.inspection.machine import describe
from recurra.training.denormals import FlushDenormals

SCALES = {"": 1.0, " 1e-40": 1e-36}
WARM_UP = 3


def contenders() -> dict[tuple[str, str, bool], Callable[[Batch], float]]:
    """A model of its own for each: by its name, the gradients' size, and whether the training loop's mode is on."""
    found: dict[tuple[str, str, bool], Callable[[Batch], float]] = {}
    for size, scale in SCALES.items():
        for flush in (False, True):
            found["nn.LSTM", size, flush] = hand_step(scale)
            for cell in ("lstm", "gru"):
                found[cell, size, flush] = our_step(cell, "cpu", scale)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=10, help="timed steps of each")
    arguments = parser.parse_args()
    obstacle = build.obstacle()
    if obstacle is not None:
        parser.error(obstacle)
    torch.manual_seed(1)
    ids = np.random.default_rng(1).integers(0, VOCABULARY, 1_000_000)
    batches = StreamBatches(ids, BATCH, STEPS)
    steps = contenders()
    times: dict[tuple[str, str, bool], list[float]] = {key: [] for key in steps}
    for number in range(arguments.repeats + WARM_UP):
        for key, step in steps.items():
            with FlushDenormals() if key[2] else contextlib.nullcontext():
                began = time.perf_counter()
                step(batches[number])
                times[key].append(time.perf_counter() - began)
    took = {key: 1e3 * statistics.median(values[WARM_UP:]) for key, values in times.items()}
    print(f"{'':10} {'loop of your own':>27} {'training loop':>27}")
    print(f"{'gradients':10}" + 2 * f" {'usual':>9} {'1e-40':>9} {'ratio':>7}")
    result: dict[str, float] = {}
    for name in ("nn.LSTM", "lstm", "gru"):
        line = f"{name:10}"
        for flush, loop in ((False, "plain"), (True, "training")):
            usual, small = (took[name, size, flush] for size in SCALES)
            line += f" {usual:9.2f} {small:9.2f} {small / usual:7.2f}"
            result[f"{name} {loop} ms"] = round(usual, 3)
            result[f"{name} {loop} 1e-40 ms"] = round(small, 3)
            result[f"{name} {loop} ratio"] = round(small / usual, 3)
        print(line)
    print(json.dumps(result | {"repeats": arguments.repeats, **describe()}))


if __name__ == "__main__":
    main()
