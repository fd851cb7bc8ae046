"""A program's compiled kernels, and running them over memory that is laid out for them.

B batch, H hidden, G gates, N steps of all rows together.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.engine.cpu import build
from recurra.engine.cpu.emit import emit, pointers
from recurra.engine.cpu.packing import pack, pairs
from recurra.engine.gradients import weight_gradient
from recurra.engine.plan import Place, StepPlan, Term, plan, vectors

NUMBERS = ("batch", "steps", "hidden", "inputs", "slices", "split", "save")
TABLES = ("order", "lengths", "first", "arrived")
FUNCTIONS = ("recurra_forward", "recurra_backward", "recurra_scratch")  # of entry.h

SPLIT_UNITS = 128  # fewer are not worth the threads' waiting for each other at every step


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
        self.library = build.library(emit(self.plan, self.machine, bfloat16), *FUNCTIONS)
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

    def run_forward(self, tensors: dict[str, Tensor], partition: WorkPartition, save: bool) -> None:
        """Run all steps forwards; new in `tensors` are the states at every step, the final ones, and what is saved.

        Args:
            tensors: by the kernel's names: `projected`, `packed`, and what `laid_out` gives.
            partition: which slice runs what.
            save: keep what `run_backward` needs.
        """
        first = tensors[f"initial_{self.program.states[0]}"]
        total, (batch, hidden) = tensors["projected"].shape[0], first.shape
        tensors["saved"] = first.new_empty(total, len(self.plan.saved) * hidden if save else 0)
        for name in self.program.states:
            tensors[f"states_{name}"] = first.new_empty(total, hidden)
            tensors[f"final_{name}"] = first.new_empty(batch, hidden)
        self.launch(tensors, partition, hidden, backwards=False, save=save)

    def run_backward(
        self,
        tensors: dict[str, Tensor],
        partition: WorkPartition,
        d_output: Tensor | None,
        d_final: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Run all steps backwards; new in `tensors` are the gradients of the projected inputs and the hidden halves.

        Args:
            tensors: by the kernel's names: `packed`, the states at every step, `saved`, and what `laid_out` gives.
            partition: that of `run_forward`.
            d_output: of the first state at every step, `[N, H]`; None is zero.
            d_final: of the final states; None is zero.

        Returns:
            The gradients of the initial states and of the per-unit parameters.
        """
        states = self.program.states
        first, outputs = (tensors[f"{kind}_{states[0]}"] for kind in ("initial", "states"))
        total, hidden = outputs.shape
        tensors["d_output"] = torch.zeros_like(outputs) if d_output is None else d_output.contiguous()
        for name, gradient in zip(states, d_final, strict=True):
            tensors[f"carry_{name}"] = (
                torch.zeros_like(first)
                if gradient is None
                else gradient.clone(memory_format=torch.contiguous_format)
            )
        gates = self.program.input_gates
        known = all(("d_input", gate) in self.plan.backward.targets for gate in gates)
        tensors["d_projected"] = (first.new_empty if known else first.new_zeros)(total, len(gates) * hidden)
        if self.plan.hidden_apart:
            tensors["d_hidden"] = first.new_zeros(total, len(self.program.hidden_gates) * hidden)
        tensors["sums"] = first.new_zeros(partition.slices, len(self.vectors), hidden)
        self.launch(tensors, partition, hidden, backwards=True, save=False)
        return [
            *(tensors[f"carry_{name}"] for name in states),
            *(one.clone() for one in tensors["sums"].sum(0)),
        ]

    def weight_gradient(self, tensors: Mapping[str, Tensor], partition: WorkPartition) -> Tensor:
        """The gradient of the hidden weights `[G * H, H]`, from what `run_backward` has left in `tensors`."""
        d_rows = tensors["d_hidden" if self.plan.hidden_apart else "d_projected"]
        hidden = d_rows.shape[1] // len(self.program.hidden_gates)
        narrow = torch.bfloat16 if self.bfloat16 else d_rows.dtype

        def operand(at: Place) -> Tensor:
            kind, name = at
            if kind == "saved":
                return tensors["saved"][:, int(name) * hidden :][:, :hidden].to(narrow)
            if kind == "new":
                return tensors[f"states_{name}"].to(narrow)
            before = torch.empty_like(tensors[f"states_{name}"])
            before[1:] = tensors[f"states_{name}"][:-1]
            before[partition.first[partition.starting]] = tensors[f"initial_{name}"][partition.starting]
            return before.to(narrow)

        return weight_gradient(self.plan, d_rows.to(narrow), operand).to(d_rows.dtype)

    def launch(
        self, tensors: dict[str, Tensor], partition: WorkPartition, hidden: int, backwards: bool, save: bool
    ) -> None:
        """Run all slices, in torch's threads."""
        if not partition.steps:
            return
        rows = partition.rows.shape[1]
        size = self.library.recurra_scratch(hidden, int(backwards)) * rows * partition.slices
        scratch = tensors["saved"].new_empty(max(size, 1))
        arrived = torch.zeros(1, dtype=torch.int64, device="cpu")
        call = self.Call(
            partition.batch, partition.steps, hidden, 0, partition.slices, int(partition.split), int(save),
            partition.rows.data_ptr(), partition.lengths.data_ptr(), partition.first.data_ptr(), arrived.data_ptr(),
        )  # fmt: skip
        for place, name in enumerate(self.names):
            call.p[place] = tensors[name].data_ptr() if name in tensors else None
        call.p[self.names.index("scratch")] = scratch.data_ptr()
        in_threads(
            self.library.recurra_backward if backwards else self.library.recurra_forward,
            call,
            partition.slices,
        )


def laid_out(
    kernel: Kernel, states: Sequence[Tensor], per_unit: Sequence[Tensor], masks: Sequence[Tensor]
) -> dict[str, Tensor]:
    """What both directions read, contiguous and of one type, by the kernel's names."""
    dtype = states[0].dtype
    named = {f"initial_{name}": state for name, state in zip(kernel.program.states, states, strict=True)}
    named |= dict(zip(kernel.vectors, per_unit, strict=True))
    named |= {f"mask_{name}": mask.to(dtype) for name, mask in zip(kernel.program.masks, masks, strict=True)}
    return {name: tensor.contiguous() for name, tensor in named.items()}


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


def can_split(threads: int) -> bool:
    """Whether the units can be split between so many threads."""
    return threads > 1 and _threads_run_together()


class WorkPartition:
    """Which slice runs what: the rows are divided, longest first, or the units where there are few rows.

    Arrays over time hold the N unpadded steps, row after row; `first` says where each row begins.
    """

    def __init__(self, lengths: Tensor | None, batch: int, total: int, hidden: int, threads: int) -> None:
        self.batch = batch
        if lengths is None:
            lengths = torch.full((batch,), total // max(batch, 1), device="cpu")
        self.lengths = lengths.contiguous()
        self.steps = int(self.lengths.max()) if batch else 0
        self.first = self.lengths.cumsum(0) - self.lengths
        self.starting = self.lengths.nonzero().squeeze(1)  # rows that have a step
        self.split = batch <= threads and hidden >= SPLIT_UNITS and can_split(threads)
        self.slices = threads if self.split else max(1, min(batch, threads))
        by_length = self.lengths.argsort(descending=True, stable=True)
        groups = 1 if self.split else self.slices
        self.rows = torch.zeros(groups, -(-batch // groups), dtype=torch.int64, device="cpu")
        for number in range(groups):
            rows = by_length[number::groups]
            self.rows[number, : len(rows)] = rows


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # kept from call to call, whatever mode the first one is in
def _even_partition(batch: int, total: int, hidden: int, threads: int) -> WorkPartition:
    return WorkPartition(None, batch, total, hidden, threads)


def partition(lengths: Tensor | None, batch: int, total: int, hidden: int) -> WorkPartition:
    """Which slice runs what of `total` steps; it depends on shapes, lengths and the number of threads only."""
    threads = torch.get_num_threads()
    if lengths is None:
        return _even_partition(batch, total, hidden, threads)
    return WorkPartition(lengths, batch, total, hidden, threads)


@cache
def kernel_of(key: str, double: bool, bfloat16: bool = False) -> Kernel:
    """The kernels of the program with that key, compiled when they are first used."""
    return Kernel(Program.from_key(key), double, bfloat16)
