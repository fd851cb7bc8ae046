"""Running a generated kernel from PyTorch: memory, slices, and gradients.

B batch, T time, H hidden, G gates.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.engine.cpu import build
from recurra.engine.cpu.emit import emit, pointers, vectors
from recurra.engine.plan import StepPlan, plan
from recurra.errors import BackendError


class Kernel:
    """One program's compiled kernels, for float32 or float64."""

    def __init__(self, program: Program, double: bool) -> None:
        self.program = program
        self.plan: StepPlan = plan(program)
        self.names = pointers(self.plan)
        self.vectors = vectors(self.plan)
        self.library = build.library(emit(self.plan, build.machine(double)))
        for name in ("recurra_scratch", "recurra_packed"):
            function = getattr(self.library, name)
            function.restype, function.argtypes = ctypes.c_int64, [ctypes.c_int64, ctypes.c_int]
        self.library.recurra_pack.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int]
        fields: list[tuple[str, Any]] = [
            (name, ctypes.c_int64) for name in ("batch", "steps", "hidden", "slices", "save")
        ]
        fields += [(name, ctypes.c_void_p) for name in ("order", "lengths")]
        fields.append(("p", ctypes.c_void_p * len(self.names)))
        self.Call: Any = type("Call", (ctypes.Structure,), {"_fields_": fields})

    def pack(self, weight: Tensor | None, hidden: int, like: Tensor, backwards: bool) -> Tensor:
        """The hidden weights in the order in which the kernel reads them."""
        packed = like.new_empty(self.library.recurra_packed(hidden, int(backwards)))
        if weight is not None and packed.numel():
            self.library.recurra_pack(weight.data_ptr(), hidden, packed.data_ptr(), int(backwards))
        return packed

    def launch(
        self, tensors: dict[str, Tensor], order: Order, steps: int, hidden: int, backwards: bool, save: bool
    ) -> None:
        """Run all slices, in torch's threads."""
        call = self.Call()
        call.batch, call.steps, call.hidden, call.slices = order.batch, steps, hidden, order.slices
        call.save = int(save)
        call.order, call.lengths = order.rows.data_ptr(), order.lengths.data_ptr()
        like = next(iter(tensors.values()))
        size = self.library.recurra_scratch(hidden, int(backwards)) * order.most * order.slices
        tensors["scratch"] = like.new_empty(max(size, 1))
        for place, name in enumerate(self.names):
            call.p[place] = tensors[name].data_ptr() if name in tensors else None
        function = self.library.recurra_backward if backwards else self.library.recurra_forward
        if _in_child:
            function(ctypes.c_int64(0), ctypes.c_int64(order.slices), ctypes.byref(call))
            return
        error = _parallel_for()(
            0, order.slices, 1, ctypes.cast(function, ctypes.c_void_p), ctypes.addressof(call)
        )
        assert error == 0, "torch_parallel_for"


_in_child = False  # in a forked child, torch's threads are gone: slices run one after another


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


class Order:
    """The rows, dealt out to the slices, longest first."""

    def __init__(self, lengths: Tensor | None, batch: int, steps: int) -> None:
        self.batch = batch
        self.ragged = lengths is not None
        self.lengths = torch.full((batch,), steps) if lengths is None else lengths.contiguous()
        by_length = self.lengths.argsort(descending=True, stable=True)
        self.slices = max(1, min(batch, torch.get_num_threads()))
        self.most = -(-batch // self.slices)
        self.rows = torch.zeros(self.slices, self.most, dtype=torch.int64)
        for number in range(self.slices):
            own = by_length[number :: self.slices]
            self.rows[number, : len(own)] = own


@cache
def kernel(program: Program, double: bool) -> Kernel:
    """The kernels of a program, compiled when they are first wanted."""
    return Kernel(program, double)


def run(
    own: Kernel,
    projected: Tensor,
    hidden_weight: Tensor | None,
    states: Sequence[Tensor],
    per_unit: Sequence[Tensor],
    masks: Sequence[Tensor],
    lengths: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs `[B, T, H]` and final states `[B, H]`.

    Args:
        own: the program's kernels.
        projected: W x + b of the input gates, `[B, T, G * H]`.
        hidden_weight: `[G * H, H]`, or None.
        states: initial ones.
        per_unit: vectors, norms' gains and shifts and hidden biases, `[H]` each, in the kernel's order.
        masks: in the program's order.
        lengths: `[B]` or None.
    """
    outputs, *final = _Run.apply(own, lengths, projected, hidden_weight, *states, *per_unit, *masks)
    return outputs, tuple(final)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        own: Kernel,
        lengths: Tensor | None,
        projected: Tensor,
        hidden_weight: Tensor | None,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        program, first_mask = own.program, len(own.program.states) + len(own.vectors)
        states = [state.contiguous() for state in rest[: len(program.states)]]
        per_unit, masks = rest[len(states) : first_mask], rest[first_mask:]
        batch, hidden = states[0].shape
        steps = projected.shape[1]
        order = Order(lengths, batch, steps)
        new = states[0].new_zeros if order.ragged else states[0].new_empty
        save = any(ctx.needs_input_grad)
        tensors = {"projected": projected.contiguous()}
        weight = None if hidden_weight is None else hidden_weight.contiguous()
        tensors["packed"] = own.pack(weight, hidden, states[0], backwards=False)
        tensors["saved"] = new(batch, steps, len(own.plan.saved) * hidden if save else 0)
        for name, state in zip(program.states, states, strict=True):
            tensors[f"initial_{name}"] = state
            tensors[f"states_{name}"] = new(batch, steps, hidden)
            tensors[f"final_{name}"] = torch.empty_like(state)
        tensors |= dict(zip(own.vectors, (vector.contiguous() for vector in per_unit), strict=True))
        tensors |= {
            f"mask_{name}": mask.to(states[0].dtype).contiguous()
            for name, mask in zip(program.masks, masks, strict=True)
        }
        own.launch(tensors, order, steps, hidden, backwards=False, save=save)
        if save:
            kept = [
                name
                for name in tensors
                if name.startswith(("saved", "initial_", "states_", "mask_")) or name in own.vectors
            ]
            ctx.kernel, ctx.order, ctx.kept = own, order, kept
            ctx.save_for_backward(weight, *(tensors[name] for name in kept))
        outputs = tensors[f"states_{program.states[0]}"]
        return (outputs, *(tensors[f"final_{name}"] for name in program.states))

    @staticmethod
    def backward(ctx: Any, d_output: Tensor | None, *d_final: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise BackendError("backend 'cpu' gives first derivatives only; use backend='reference'.")
        own, order = ctx.kernel, ctx.order
        weight, *kept = ctx.saved_tensors
        tensors = dict(zip(ctx.kept, kept, strict=True))
        program, step = own.program, own.plan
        first = tensors[f"initial_{program.states[0]}"]
        batch, hidden = first.shape
        steps = tensors[f"states_{program.states[0]}"].shape[1]
        tensors["d_output"] = (
            first.new_zeros(batch, steps, hidden) if d_output is None else d_output.contiguous()
        )
        for name, gradient in zip(program.states, d_final, strict=True):
            tensors[f"carry_{name}"] = (
                torch.zeros_like(first)
                if gradient is None
                else gradient.clone(memory_format=torch.contiguous_format)
            )
        targets = step.backward.targets
        inputs, gates = len(program.input_gates), len(program.hidden_gates)
        whole = not order.ragged and all(("d_input", gate) in targets for gate in program.input_gates)
        tensors["d_projected"] = (first.new_empty if whole else first.new_zeros)(
            batch, steps, inputs * hidden
        )
        if step.hidden_apart:
            tensors["d_hidden"] = first.new_zeros(batch, steps, gates * hidden)
        tensors["sums"] = first.new_zeros(order.slices, len(own.vectors), hidden)
        tensors["packed"] = own.pack(weight, hidden, first, backwards=True)
        own.launch(tensors, order, steps, hidden, backwards=True, save=False)
        d_weight = None
        if weight is not None and ctx.needs_input_grad[3]:
            d_weight = _weight_gradient(own, tensors, weight)
        sums = tensors["sums"].sum(0)
        return (
            None, None,
            tensors["d_projected"] if inputs else None,
            d_weight,
            *(tensors[f"carry_{name}"] for name in program.states),
            *sums.unbind(0),
            *(None for _ in program.masks),
        )  # fmt: skip


def _weight_gradient(own: Kernel, tensors: dict[str, Tensor], weight: Tensor) -> Tensor:
    """The hidden weights' gradient: one product over all rows and steps for each operand."""
    program, step = own.program, own.plan
    hidden = weight.shape[1]
    d_rows = tensors["d_hidden" if step.hidden_apart else "d_projected"].flatten(0, 1)  # [B * T, G * H]
    gradient = torch.zeros_like(weight)
    for product in program.products:
        at = step.operands[product.gates[0]]
        if isinstance(at, str):
            initial, states = tensors[f"initial_{at}"], tensors[f"states_{at}"]
            operand = torch.cat([initial[:, None], states[:, :-1]], 1).flatten(0, 1)
        else:
            number = step.saved.index(at)
            operand = tensors["saved"].flatten(0, 1)[:, number * hidden : (number + 1) * hidden]
        numbers = [program.hidden_gates.index(gate) for gate in product.gates]
        if numbers == list(range(numbers[0], numbers[0] + len(numbers))):
            rows = slice(numbers[0] * hidden, (numbers[-1] + 1) * hidden)
            torch.mm(d_rows[:, rows].T, operand, out=gradient[rows])
        else:
            for number in numbers:
                rows = slice(number * hidden, (number + 1) * hidden)
                torch.mm(d_rows[:, rows].T, operand, out=gradient[rows])
    return gradient
