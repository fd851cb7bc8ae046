"""How fast cells run here: a training step by generated kernels, by PyTorch's own, and by two eager loops.

The ordinary loop is what one writes by hand: it calls the cell step by step (backend textbook). The reference backend
is a loop too, with the product with the inputs taken out of it.

A step is forward and backward over B rows of T steps with I = H, float32. Whatever is compared runs in turn, in
one process; what counts is the median. T time, B batch, I input, H hidden.
"""

from __future__ import annotations

import math
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from recurra.cells import Cell
from recurra.engine import cpu, vendor
from recurra.errors import ConfigError, quoted
from recurra.layers import Recurrent

MODULES: dict[str, type[nn.Module]] = {"rnn_tanh": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
WARM_UP = 2


@dataclass(frozen=True)
class Shape:
    """T steps of B rows, I = H."""

    steps: int
    rows: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.steps}x{self.rows}x{self.hidden}"

    @classmethod
    def from_text(cls, text: str) -> Shape:
        """The shape written as TxBxH.

        Raises:
            ConfigError: it is not one.
        """
        sizes = text.strip().split("x")
        if len(sizes) != 3 or not all(re.fullmatch("[1-9][0-9]{0,8}", size) for size in sizes):
            raise ConfigError(f"--shapes: expected TxBxH, such as 50x32x256, got {quoted(text)}.")
        return cls(*map(int, sizes))


SHAPES = tuple(
    Shape(*sizes)
    for sizes in ((20, 20, 200), (50, 50, 128), (30, 64, 512), (50, 32, 256), (100, 32, 64), (500, 16, 128))
)


@dataclass(frozen=True)
class Timing:
    """One cell over one shape.

    Attributes:
        cell: its name.
        shape: T, B, H.
        seconds: the median of a training step, by what ran: "generated" (backend cpu), "generated bfloat16" (under
            autocast, where the processor has such products), "auto", "loop" (backend textbook), "reference", "torch"
            (PyTorch's module), and for rows of lengths 1 to T "generated ragged", "auto ragged", "torch packed" and
            "torch padded".
        gflops: billions of operations a second of the generated kernels, 6 · T · B · weights a step.
    """

    cell: str
    shape: Shape
    seconds: Mapping[str, float]
    gflops: float

    def ratio(self, ours: str, theirs: str) -> float:
        """How many times as fast `ours` is; above 1 it is faster."""
        return self.seconds[theirs] / self.seconds[ours]


def time_cells(
    cells: Mapping[str, type[Cell]], shapes: Iterable[Shape] = SHAPES, repeats: int = 15
) -> Iterator[Timing]:
    """Time each cell over each shape: against PyTorch's module where it has the cell, otherwise against the loops."""
    for name, cell in cells.items():
        for shape in shapes:
            torch.manual_seed(1)
            steps = _contenders(cell, shape)
            program = cell(1, 1).program
            weights = shape.hidden**2 * (len(program.input_gates) + len(program.hidden_gates))
            seconds = medians(steps, repeats)
            operations = 6 * shape.steps * shape.rows * weights
            yield Timing(name, shape, seconds, operations / seconds["generated"] / 1e9)


def medians(steps: Mapping[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """The median time of each, in seconds, all of them in turn `repeats` times."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(repeats + WARM_UP):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if number >= WARM_UP:
                times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))


def _contenders(cell: type[Cell], shape: Shape) -> dict[str, Callable[[], None]]:
    x = torch.randn(shape.rows, shape.steps, shape.hidden, device="cpu")
    kernel = vendor.kernel_name(cell(1, 1).program)
    steps = {"generated": _step_of(cell, "cpu", x)}
    if cpu.BFLOAT16:
        steps["generated bfloat16"] = torch.autocast("cpu", torch.bfloat16)(_step_of(cell, "cpu", x))
    if kernel not in MODULES:
        loops = {"loop": _step_of(cell, "textbook", x), "reference": _step_of(cell, "reference", x)}
        return steps | loops
    steps["torch"] = _step_of_module(MODULES[kernel], x)
    if kernel == "lstm":
        lengths = torch.randint(1, shape.steps + 1, (shape.rows,), device="cpu")
        steps["auto"] = _step_of(cell, "auto", x)
        steps["generated ragged"] = _step_of(cell, "cpu", x, lengths)
        steps["auto ragged"] = _step_of(cell, "auto", x, lengths)
        steps["torch packed"] = _step_of_module(MODULES[kernel], x, lengths)
        steps["torch padded"] = steps["torch"]
    return steps


def _step_of(cell: type[Cell], backend: str, x: Tensor, lengths: Tensor | None = None) -> Callable[[], None]:
    rnn = Recurrent(cell, x.shape[2], x.shape[2], backend=backend)

    def step() -> None:
        rnn.zero_grad()
        outputs, _ = rnn(x, lengths=lengths)
        outputs.backward(torch.ones_like(outputs))

    return step


def _step_of_module(module: type[nn.Module], x: Tensor, lengths: Tensor | None = None) -> Callable[[], None]:
    rnn = module(x.shape[2], x.shape[2], batch_first=True)

    def step() -> None:
        rnn.zero_grad()
        if lengths is None:
            outputs, _ = rnn(x)
        else:
            packed, _ = rnn(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
            outputs = packed.data
        outputs.backward(torch.ones_like(outputs))

    return step


def ratios(timings: Sequence[Timing]) -> dict[str, float]:
    """Every comparison by name, per shape and as geometric mean: `lstm 20x20x200 generated over torch`."""
    pairs = (
        ("generated", "torch"),
        ("auto", "torch"),
        ("generated", "loop"),
        ("generated", "reference"),
        ("generated bfloat16", "generated"),
        ("generated ragged", "torch packed"),
        ("generated ragged", "torch padded"),
        ("auto ragged", "torch packed"),
        ("auto ragged", "torch padded"),
    )
    ratios: dict[str, float] = {}
    for ours, theirs in pairs:
        together = [one for one in timings if ours in one.seconds and theirs in one.seconds]
        for cell in dict.fromkeys(one.cell for one in together):
            own = [one for one in together if one.cell == cell]
            for one in own:
                ratios[f"{cell} {one.shape} {ours} over {theirs}"] = one.ratio(ours, theirs)
            ratios[f"{cell} {ours} over {theirs}"] = geometric_mean([one.ratio(ours, theirs) for one in own])
        if theirs in ("loop", "reference") and together:
            ratios[f"all cells generated over {theirs}"] = geometric_mean(
                [one.ratio(ours, theirs) for one in together]
            )
    return ratios | _rates(timings)


def _rates(timings: Sequence[Timing]) -> dict[str, float]:
    """GFLOP/s by cell and shape, and how those of cells without a module compare with the generated LSTM's."""
    rates = {f"{one.cell} {one.shape} gflops": one.gflops for one in timings}
    lstm = {one.shape: one.gflops for one in timings if one.cell == "lstm"}
    shares = {
        (one.cell, one.shape): one.gflops / lstm[one.shape]
        for one in timings
        if "loop" in one.seconds and one.shape in lstm
    }
    for cell in dict.fromkeys(cell for cell, _ in shares):
        own = [share for (name, _), share in shares.items() if name == cell]
        rates[f"{cell} gflops over lstm"] = geometric_mean(own)
    if shares:
        rates["all cells gflops over lstm"] = geometric_mean(list(shares.values()))
    return rates
