"""`recurra explain`: which backend runs a cell on this machine, why each other does not, and its equations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recurra.cli.options import Options
from recurra.cli.tables import print_table
from recurra.settings import PROBABILITY, check_number

if TYPE_CHECKING:
    from recurra.cells import Program


def explain(arguments: list[str]) -> None:
    """Print a row per backend, or, with `--equations` or `--latex`, the cell's step and its derivative."""
    options = _options()
    values = options.parse(arguments)

    import torch

    from recurra import engine
    from recurra.cells import resolve
    from recurra.cells.equations import equations
    from recurra.layers.regularisation import Regularisation

    cell = resolve(values.cell)
    check_number("--dropout", values.dropout, float, **PROBABILITY)
    program = cell(values.input_size, values.hidden_size).program
    regularisation = Regularisation(recurrent_dropout=values.recurrent_dropout, zoneout=values.zoneout)
    regularisation.check(program, cell.__name__)
    if values.equations or values.latex:
        print(equations(program, values.latex))
        return
    if values.show_code:
        print(_code(program, values.device, values.dtype))
        return
    verdicts = engine.explain(
        cell,
        values.input_size,
        values.hidden_size,
        recurrent_dropout=values.recurrent_dropout,
        zoneout=values.zoneout,
        return_gates=values.gates,
        ragged=values.ragged,
        device=values.device,
        dtype=getattr(torch, values.dtype),
    )
    rows = [(one.backend, one.runs, one.chosen, one.reason) for one in verdicts]
    print_table(("backend", "runs", "chosen", "reason"), rows)


def _code(program: Program, device: str, dtype: str) -> str:
    """What is generated for a program: C++ for the CPU, Triton for CUDA."""
    from recurra.engine.cpu import build, emit as cplusplus
    from recurra.engine.gpu import emit as triton
    from recurra.engine.plan import plan

    if device == "cuda":
        return triton.emit(plan(program))
    return cplusplus.emit(plan(program), build.machine(double=dtype == "float64"))


def _options() -> Options:
    from typing import Literal

    options = Options(
        "explain",
        "Say which backend runs a cell on this machine, and why each other does not.",
        "--cell CELL [options]",
    )
    options.group("the cell")
    options.add("cell", str, "lstm", "a built-in cell, or FILE.py:Class", "CELL")
    options.add("input-size", int, 64, "width of the input vectors", "I")
    options.add("hidden-size", int, 256, "units", "H")
    for name in ("input-size", "hidden-size"):
        options.at_least(name, 1)
    options.flag("equations", "print one step forwards and backwards as equations, instead")
    options.flag("latex", "print them in LaTeX")
    options.flag("show-code", "print the code generated for it, instead: C++, or Triton for --device cuda")
    options.group("what is asked of it")
    options.flag("bidirectional", "both directions; each one runs by itself, on the same backend")
    options.add("dropout", float, 0.0, "between layers, so outside the backend: any can take it", "P")
    options.add("recurrent-dropout", float, 0.0, "on what enters the products with hidden weights", "P")
    options.add(
        "zoneout", float | dict[str, float], 0.0, "on every state, or by state: '{c: 0.5, h: 0.05}'", "P"
    )
    options.flag("gates", "the values of the gates at every step are wanted")
    options.flag("ragged", "rows of different lengths")
    options.group("the machine")
    options.add("device", Literal["cpu", "cuda"], "cpu", "where it runs")
    options.add("dtype", Literal["float32", "float64", "bfloat16"], "float32", "type of the numbers")
    return options
