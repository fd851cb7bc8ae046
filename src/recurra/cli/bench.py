"""`recurra selfcheck` and `recurra bench cells`: whether the backends of this machine are right, and how fast."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from recurra.cli.options import Options
from recurra.cli.tables import print_table
from recurra.errors import ConfigError
from recurra.settings import MOST_THREADS

if TYPE_CHECKING:
    from recurra.cells import Cell

TIMED = ("elman", "gru_reset_after", "lstm", "gru", "peephole_lstm", "layer_norm_lstm")


def selfcheck(arguments: list[str]) -> int:
    """Compare every backend with the reference, print a table and a verdict; 1 if one is wrong."""
    options = Options(
        "selfcheck",
        "Run every cell on every backend of this machine and compare outputs, final states and all gradients with the "
        "reference. The exit code is 1 if a backend is wrong.",
        "[options]",
    )
    options.add(
        "cell", str | None, None, "one cell, built in or FILE.py:Class, instead of all built in", "CELL"
    )
    options.add("device", Literal["cpu", "cuda"], "cpu", "where it runs")
    options.add("seed", int, 0, "of the random weights and inputs", "N")
    values = options.parse(arguments)

    from recurra.inspection.selfcheck import check_backends

    checks = []
    for check in check_backends(_cells(values.cell), values.device, values.seed):
        checks.append(check)
        if sys.stderr.isatty():
            print(f"\r\x1b[Krecurra: {check.cell} on {check.backend}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    ran = [check for check in checks if check.difference is not None]
    print_table(
        ("cell", "backend", "type", "largest difference", "in", "verdict"),
        [
            (one.cell, one.backend, str(one.dtype).removeprefix("torch."), f"{one.difference:.1e}", one.worst,
             "right" if one.passed else "WRONG")
            for one in ran
        ],
    )  # fmt: skip
    for backend in dict.fromkeys(one.backend for one in checks):
        reasons = {one.reason for one in checks if one.backend == backend and one.reason}
        if not any(one.backend == backend for one in ran):
            print(f"\n{backend} did not run: {'; '.join(sorted(reasons))}.")
    wrong = [one for one in ran if not one.passed]
    if wrong:
        print(
            f"\n{len(wrong)} of {len(ran)} comparisons are wrong: do not use backend {wrong[0].backend} here."
        )
        return 1
    print(f"\nAll {len(ran)} comparisons agree with the reference, to 1e-5 in float32 and 1e-12 in float64.")
    return 0


def bench_cells(arguments: list[str]) -> None:
    """Time cells on this machine, print a table and save a picture."""
    options = Options(
        "bench cells",
        "Time a training step (forward and backward, float32) of cells over six shapes: generated kernels against "
        "PyTorch's own where it has the cell; where it has not, against an ordinary loop that calls the cell step by "
        "step, and against the reference backend.",
        "[options]",
    )
    options.add(
        "cell",
        str | None,
        None,
        f"one cell, built in or FILE.py:Class, instead of {', '.join(TIMED)}",
        "CELL",
    )
    options.add("shapes", str | None, None, "TxBxH, separated by commas, instead of the six", "SHAPES")
    options.add("repeats", int, 15, "timed steps of each", "N")
    options.add("threads", int | None, None, "number of threads (default: as many as there are cores)", "N")
    options.add("out", str, "bench-cells.png", "the picture to write", "FILE.png")
    for name in ("repeats", "threads"):
        options.at_least(name, 1)
    options.at_most("threads", MOST_THREADS)
    values = options.parse(arguments)
    if not values.out.endswith(".png"):
        raise ConfigError(f"--out: expected a file name ending in .png, got {values.out!r}.")

    import torch

    from recurra.inspection.machine import describe
    from recurra.inspection.speed import SHAPES, Shape, ratios, time_cells
    from recurra.inspection.speed_picture import PEERS, show_speed

    if values.threads:
        torch.set_num_threads(values.threads)
    cells = _cells(values.cell, TIMED)
    shapes = SHAPES if values.shapes is None else tuple(map(Shape.from_text, values.shapes.split(",")))
    timings = []
    for timing in time_cells(cells, shapes, values.repeats):
        timings.append(timing)
        print(f"recurra: {timing.cell} {timing.shape}", file=sys.stderr)
    rows = []
    for one in timings:
        for ours, theirs, _ in PEERS:
            if theirs in one.seconds:
                times = [f"{1e3 * one.seconds[name]:.2f}" for name in (ours, theirs)]
                rate = f"{one.gflops:.0f}" if ours == "generated" else ""
                rows.append(
                    (one.cell, str(one.shape), theirs, *times, f"{one.ratio(ours, theirs):.2f}", rate)
                )
    print_table(("cell", "TxBxH", "against", "ms", "its ms", "times as fast", "GFLOP/s"), rows)
    print("\nGeometric means:")
    for name, value in ratios(timings).items():
        if " over " in name and not any(str(one.shape) in name for one in timings):
            print(f"  {name}: {value:.2f}")
    machine = describe()
    threads = f"{machine['threads']} thread{'' if machine['threads'] == 1 else 's'}"
    print(f"\n{machine['cpu']}, {threads}, matrix product {machine['gemm_gflops']} GFLOP/s")
    for path in show_speed(timings, f"{machine['cpu']}, {threads}").save(values.out):
        print(f"recurra: wrote {path}", file=sys.stderr)


def _cells(name: str | None, otherwise: tuple[str, ...] = ()) -> dict[str, type[Cell]]:
    from recurra.cells import CELLS, resolve

    if name is not None:
        return {name.rpartition(":")[2] or name: resolve(name)}
    return {one: CELLS[one] for one in otherwise or CELLS}
