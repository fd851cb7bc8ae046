"""Generated kernels against PyTorch's own and against loops over the same equations: times of a training step.

    python benchmarks/cells.py [--repeats 15] [--shapes 50x32x256,100x32x64] [--cells lstm,gru]

What is timed, and how, stands in `recurra.inspection.speed`; `recurra bench cells` shows the same as a table and a
picture. The last line is one JSON object with every ratio by name, per shape and as geometric mean. A ratio above 1
means that the first is faster.
"""

from __future__ import annotations

import argparse
import json

from recurra import Cell
from recurra.cells import CELLS
from recurra.cli.bench import TIMED
from recurra.inspection.machine import describe
from recurra.inspection.speed import SHAPES, Shape, ratios, time_cells


class UsersCell(Cell):
    """A cell that nobody has a kernel for: an update gate that sees the memory, and a rectified candidate."""

    gates = ("update", "candidate")
    vectors = ("memory",)
    state = ("h", "m")

    def step(self, affine, h, m):
        update = (affine("update", h) + affine.vector("memory") * m).sigmoid()
        candidate = affine("candidate", update * h).relu().clamp(max=2.0)
        m = 0.9 * m + 0.1 * candidate
        return (update * candidate + (1 - update) * m).tanh(), m


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=15, help="timed steps of each")
    parser.add_argument("--shapes", help="TxBxH, separated by commas, instead of the table's")
    parser.add_argument("--cells", help="names, separated by commas, instead of the table's")
    arguments = parser.parse_args()
    shapes = tuple(map(Shape.from_text, arguments.shapes.split(","))) if arguments.shapes else SHAPES
    known = {**CELLS, "users_cell": UsersCell}
    names = arguments.cells.split(",") if arguments.cells else [*TIMED, "users_cell"]
    timings = []
    for one in time_cells({name: known[name] for name in names}, shapes, arguments.repeats):
        timings.append(one)
        row = "  ".join(f"{name} {1e3 * value:.2f} ms" for name, value in one.seconds.items())
        print(f"{one.cell:16} {one.shape!s:12} {one.gflops:6.1f} GFLOP/s  {row}", flush=True)
    print(json.dumps({name: round(value, 3) for name, value in ratios(timings).items()} | describe()))


if __name__ == "__main__":
    main()
