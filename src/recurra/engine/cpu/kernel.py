"""A program's compiled kernels, and running them over memory that is laid out for them.

B batch, H hidden, G gates, N steps of all rows together.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.engine.cpu import build
from recurra.engine.cpu.emit import emit, pointers
from recurra.engine.cpu.packing import pack, pairs
from recurra.engine.plan import StepPlan, Term, plan, vectors

NUMBERS = ("batch", "steps", "hidden", "inputs", "slices", "split", "save")
TABLES = ("order", "lengths", "first", "arrived")

# Below so many rows for each thread the units are split between the threads instead, if there are that many.
SPLIT_ROWS, SPLIT_UNITS = 1, 128


def structure(names: list[str]) -> Any:
    """The structure `Call` of frame.h."""
    fields: list[tuple[str, Any]] = [(name, ctypes.c_int64) for name in NUMBERS]
    fields += [(name, ctypes.c_void_p) for name in TABLES]
    fields.append(("p", ctypes.c_void_p * len(names)))
    return type("Call", (ctypes.Structure,), {"_fields_": fields})


class Kernel:
    """One program's compiled kernels, for float64, or for float32 with products in that or in bfloat16."""

    def __init__(self, program: Program, double: bool, bfloat16: bool = False) -> None:
        self.program = program
        self.plan: StepPlan = plan(program)
        self.names = pointers(program)
        self.vectors = vectors(program)
        self.machine = build.machine(double)
        self.library = build.library(emit(self.plan, self.machine, bfloat16))
        self.bfloat16 = bfloat16
        self.library.recurra_scratch.restype = ctypes.c_int64
        self.library.recurra_scratch.argtypes = [ctypes.c_int64, ctypes.c_int]
        declare(self.library, "recurra_forward", "recurra_backward")
        self.Call = structure(self.names)

    def pack(self, weight: Tensor | None, hidden: int, like: Tensor, backwards: bool) -> Tensor:
        """The hidden weights in the order in which the kernel reads them."""

        def block(term: Term) -> Tensor:
            assert weight is not None
            first = self.program.hidden_gates.index(term.gate) * hidden
            rows = weight[first : first + hidden]
            rows = rows.T if term.matrix == "transposed" else rows
            return pairs(rows) if self.bfloat16 else rows

        direction = self.plan.backward if backwards else self.plan.forward
        like = like.new_empty(0, dtype=torch.int32) if self.bfloat16 else like
        return pack(direction, self.machine, hidden, block, like)

    def launch(
        self, tensors: dict[str, Tensor], order: Order, hidden: int, backwards: bool, save: bool
    ) -> None:
        """Run all slices, in torch's threads."""
        like = next(iter(tensors.values()))
        rows = order.rows.shape[1]
        size = self.library.recurra_scratch(hidden, int(backwards)) * rows * order.slices
        tensors["scratch"] = like.new_empty(max(size, 1))
        arrived = torch.zeros(1, dtype=torch.int64)
        call = self.Call(
            order.batch, order.steps, hidden, 0, order.slices, int(order.split), int(save),
            order.rows.data_ptr(), order.lengths.data_ptr(), order.first.data_ptr(), arrived.data_ptr(),
        )  # fmt: skip
        for place, name in enumerate(self.names):
            call.p[place] = tensors[name].data_ptr() if name in tensors else None
        in_threads(
            self.library.recurra_backward if backwards else self.library.recurra_forward, call, order.slices
        )


def declare(library: ctypes.CDLL, *names: str) -> None:
    """Tell ctypes what the functions of (first slice, end, call) take."""
    for name in names:
        getattr(library, name).argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        getattr(library, name).restype = None


def in_threads(function: Any, call: Any, slices: int) -> None:
    """Call a C function of (first slice, end, call) so that all slices run; in a forked child one after another."""
    if _in_child or slices == 1:
        function(0, slices, ctypes.byref(call))
        return
    error = _parallel_for()(0, slices, 1, ctypes.cast(function, ctypes.c_void_p), ctypes.addressof(call))
    assert error == 0, "torch_parallel_for"


_in_child = False  # in a forked child, torch's threads are gone


def _forked() -> None:
    global _in_child
    _in_child = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


@cache
def _parallel_for() -> Any:
    """Torch's own loop over its threads."""
    folder = Path(torch.__file__).parent / "lib"
    function = ctypes.CDLL(str(next(folder.glob("libtorch_cpu.*")))).torch_parallel_for
    function.argtypes = [ctypes.c_int64] * 3 + [ctypes.c_void_p] * 2
    function.restype = ctypes.c_int32
    return function


@cache
def _threads_run_together() -> bool:
    """Whether slices may wait for each other: OpenMP runs them all at once, other pools may queue them."""
    return "ATen parallel backend: OpenMP" in torch.__config__.parallel_info()


class Order:
    """How the work is dealt out: the rows to the slices, longest first, or the units where there are few rows.

    Arrays over time hold the N steps that there are, row after row; `first` says where each row begins.
    """

    def __init__(self, lengths: Tensor | None, batch: int, total: int, hidden: int, threads: int) -> None:
        self.batch = batch
        if lengths is None:
            lengths = torch.full((batch,), total // max(batch, 1))
        self.lengths = lengths.contiguous()
        self.steps = int(self.lengths.max()) if batch else 0
        self.first = self.lengths.cumsum(0) - self.lengths
        self.starting = self.lengths.nonzero().squeeze(1)  # rows that have a step
        few = batch <= SPLIT_ROWS * threads and hidden >= SPLIT_UNITS
        self.split = threads > 1 and few and _threads_run_together()
        self.slices = threads if self.split else max(1, min(batch, threads))
        by_length = self.lengths.argsort(descending=True, stable=True)
        groups = 1 if self.split else self.slices
        self.rows = torch.zeros(groups, -(-batch // groups), dtype=torch.int64)
        for number in range(groups):
            own = by_length[number::groups]
            self.rows[number, : len(own)] = own


@lru_cache(maxsize=64)
def _even_order(batch: int, total: int, hidden: int, threads: int) -> Order:
    return Order(None, batch, total, hidden, threads)


def order(lengths: Tensor | None, batch: int, total: int, hidden: int) -> Order:
    """How a call of `total` steps is dealt out; it depends on shapes, lengths and the number of threads only."""
    threads = torch.get_num_threads()
    if lengths is None:
        return _even_order(batch, total, hidden, threads)
    return Order(lengths, batch, total, hidden, threads)


@cache
def kernel(key: str, double: bool, bfloat16: bool = False) -> Kernel:
    """The kernels of the program with that key, compiled when they are first wanted."""
    return Kernel(Program.from_key(key), double, bfloat16)


def weight_gradient(own: Kernel, tensors: Mapping[str, Tensor], order: Order, weight: Tensor) -> Tensor:
    """The hidden weights' gradient `[G * H, H]`: one product over all steps of all rows for each operand.

    Args:
        own: the program's kernels.
        tensors: of the backward pass, by name.
        order: of the call.
        weight: the hidden weights.
    """
    program, step = own.program, own.plan
    hidden = weight.shape[1]
    d_rows = tensors["d_hidden" if step.hidden_apart else "d_projected"]  # [N, G * H]
    gradient = torch.zeros_like(weight)
    for product in program.products:
        at = step.operands[product.gates[0]]
        if isinstance(at, str):
            operand = torch.empty_like(tensors[f"states_{at}"])  # the states before each step
            operand[1:] = tensors[f"states_{at}"][:-1]
            operand[order.first[order.starting]] = tensors[f"initial_{at}"][order.starting]
        else:
            number = step.saved.index(at)
            operand = tensors["saved"][:, number * hidden : (number + 1) * hidden]
        if own.bfloat16:
            found = (d_rows.bfloat16().T @ operand.bfloat16()).to(
                weight.dtype
            )  # all gates: few have other operands
            for gate in product.gates:
                rows = slice(number := program.hidden_gates.index(gate) * hidden, number + hidden)
                gradient[rows] = found[rows]
            continue
        numbers = [program.hidden_gates.index(gate) for gate in product.gates]
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            rows = slice(numbers[0] * hidden, (numbers[-1] + 1) * hidden)
            torch.mm(d_rows[:, rows].T, operand, out=gradient[rows])
        else:
            for number in numbers:
                rows = slice(number * hidden, (number + 1) * hidden)
                torch.mm(d_rows[:, rows].T, operand, out=gradient[rows])
    return gradient
