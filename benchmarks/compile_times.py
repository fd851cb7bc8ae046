"""How long the first use of a cell waits for the compiler, and a later process for the cache.

    python benchmarks/compile_times.py [--cells lstm,gru]

Seconds to plan, write, compile and load the training kernels of each cell, float32, with an empty cache; then the
same with what is in it, in the same process but without what it has in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time

from recurra.cells import CELLS
from recurra.engine.cpu import build
from recurra.engine.cpu.kernel import Kernel
from recurra.inspection.machine import describe


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", help="names, separated by commas, instead of all built in")
    arguments = parser.parse_args()
    names = arguments.cells.split(",") if arguments.cells else list(CELLS)
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        obstacle = build.obstacle()
        if obstacle is not None:
            parser.error(obstacle)
        for name in names:
            program = CELLS[name](1, 1).program
            for what in ("compiled", "from the cache"):
                began = time.perf_counter()
                Kernel(program, double=False)
                result[f"{name} {what} s"] = round(time.perf_counter() - began, 3)
            print(
                f"{name:22} {result[f'{name} compiled s']:6.2f} s   {result[f'{name} from the cache s']:6.3f} s"
            )
    print(json.dumps(result | describe()))


if __name__ == "__main__":
    main()
