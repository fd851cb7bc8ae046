"""Running generated kernels from PyTorch: memory, launches, and gradients.

B batch, T time, H hidden, G gates, V per-unit parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recurra.cells.program import Program
from recurra.engine.gpu.build import ALIGNMENT, OPTIONS, ROWS, Kernel
from recurra.engine.gradients import weight_gradient
from recurra.engine.plan import Place, vectors
from recurra.errors import BackendError


class WorkPartition:
    """The rows `[B]`, longest first, and their lengths `[B]`: a program of the kernel takes the next ROWS.

    `units` of the width are real, the rest fill whole vectors.
    """

    def __init__(self, lengths: Tensor | None, batch: int, steps: int, units: int, like: Tensor) -> None:
        self.ragged = lengths is not None
        if lengths is None:
            self.lengths = torch.full((batch,), steps, device=like.device)
            self.rows = torch.arange(batch, device=like.device)
        else:
            self.lengths = lengths.contiguous()
            self.rows = lengths.argsort(descending=True, stable=True)
        self.batch, self.steps, self.units = batch, steps, units
        self.programs = -(-batch // ROWS)


@cache
def kernel_of(program: Program) -> Kernel:
    """The kernels of a program; Triton compiles them when they are first launched."""
    return Kernel(program)


def forward(
    kernel: Kernel,
    projected: Tensor,
    hidden_weight: Tensor | None,
    states: Sequence[Tensor],
    per_unit: Sequence[Tensor],
    masks: Sequence[Tensor],
    partition: WorkPartition,
    save: bool,
) -> dict[str, Tensor]:
    """All steps, for a width H that is a multiple of `ALIGNMENT`; masks are of the states' type, or bytes.

    Returns:
        Fresh `states_<name>` `[B, T + 1, H]`, the initial state first, and `saved` `[B, T, S * H]`, zero past a
        row's length; and, by name, what the backward pass needs of the arguments.
    """
    program = kernel.program
    batch, hidden = states[0].shape
    tensors = {"projected": projected.contiguous()}
    if hidden_weight is not None:
        tensors["hidden_weight"] = hidden_weight.contiguous()
    new = states[0].new_zeros if partition.ragged else states[0].new_empty
    tensors["saved"] = new(batch, partition.steps, len(kernel.plan.saved) * hidden if save else 0)
    for name, state in zip(program.states, states, strict=True):
        tensors[f"states_{name}"] = new(batch, partition.steps + 1, hidden)
        tensors[f"states_{name}"][:, 0] = state
    tensors |= dict(zip(vectors(kernel.program), (vector.contiguous() for vector in per_unit), strict=True))
    tensors |= {f"mask_{name}": mask.contiguous() for name, mask in zip(program.masks, masks, strict=True)}
    _launch(kernel, tensors, partition, backwards=False, save=save)
    del tensors["projected"]
    return tensors


def backward(
    kernel: Kernel,
    tensors: Mapping[str, Tensor],
    partition: WorkPartition,
    d_outputs: Tensor | None,
    d_final: Sequence[Tensor | None],
) -> dict[str, Tensor]:
    """The gradients: `d_projected`, `d_hidden_weight`, `d_initial_<state>` and `d_<per-unit parameter>`.

    Args:
        kernel: the program's kernels.
        tensors: what `forward` gave, with `save`.
        partition: that of `forward`.
        d_outputs: `[B, T, H]`, or None for zeros.
        d_final: by state `[B, H]`, or None for zeros.
    """
    program, targets = kernel.program, kernel.plan.backward.targets
    first = tensors[f"states_{program.states[0]}"]
    batch, hidden, steps = first.shape[0], first.shape[2], partition.steps
    names = vectors(kernel.program)
    work = dict(tensors)
    work["d_output"] = first.new_zeros(batch, steps, hidden) if d_outputs is None else d_outputs.contiguous()
    for name, gradient in zip(program.states, d_final, strict=True):
        # Steps read one half and write the other in turn, so that no thread overtakes another.
        work[f"carry_{name}"] = first.new_zeros(2, batch, hidden)
        if gradient is not None:
            work[f"carry_{name}"][:] = gradient
    whole = not partition.ragged and all(("d_input", gate) in targets for gate in program.input_gates)
    new = first.new_empty if whole else first.new_zeros
    work["d_projected"] = new(batch, steps, len(program.input_gates) * hidden)
    if kernel.plan.hidden_apart:
        work["d_hidden"] = first.new_zeros(batch, steps, len(program.hidden_gates) * hidden)
    work["sums"] = first.new_zeros(partition.programs, 2, len(names), hidden)
    _launch(kernel, work, partition, backwards=True, save=False)
    gradients = {"d_projected": work["d_projected"]}
    gradients |= {f"d_initial_{name}": work[f"carry_{name}"][0] for name in program.states}
    sums = work["sums"][:, 0].sum(0)  # [V, H]
    gradients |= {f"d_{name}": gradient for name, gradient in zip(names, sums.unbind(0), strict=True)}
    if "hidden_weight" in work:
        gradients["d_hidden_weight"] = _weight_gradient(kernel, work)
    return gradients


def _launch(
    kernel: Kernel, tensors: Mapping[str, Tensor], partition: WorkPartition, backwards: bool, save: bool
) -> None:
    function = kernel.backward if backwards else kernel.forward
    first = tensors[f"states_{kernel.program.states[0]}"]
    hidden = first.shape[2]
    constants = kernel.constants(first.dtype, backwards, precision(first.dtype), save)
    pointers = {name: tensors[name] for name in function.arg_names if name in tensors}
    if "scratch" in function.arg_names:
        pointers["scratch"] = first.new_empty(partition.programs, kernel.slots[backwards], ROWS, hidden)
    with torch.cuda.device_of(first):
        function[(partition.programs,)](
            **pointers,
            order=partition.rows,
            lengths=partition.lengths,
            batch=partition.batch,
            steps=partition.steps,
            units=partition.units,
            H=hidden,
            **constants,
            **OPTIONS,
        )


def precision(dtype: torch.dtype) -> str:
    """How products are rounded: "tf32" where PyTorch rounds its own float32 products so, otherwise "ieee"."""
    allowed = torch.backends.cuda.matmul.fp32_precision == "tf32"
    return "tf32" if dtype == torch.float32 and allowed else "ieee"


def _weight_gradient(kernel: Kernel, tensors: Mapping[str, Tensor]) -> Tensor:
    """The gradient of the hidden weights `[G * H, H]`."""
    d_rows = tensors["d_hidden" if kernel.plan.hidden_apart else "d_projected"].flatten(
        0, 1
    )  # [B * T, G * H]
    hidden = tensors["hidden_weight"].shape[1]

    def operand(at: Place) -> Tensor:
        kind, name = at
        if kind == "saved":
            return tensors["saved"].flatten(0, 1)[:, int(name) * hidden :][:, :hidden]
        states = tensors[f"states_{name}"]  # [B, T + 1, H], the initial ones first
        return (states[:, :-1] if kind == "state" else states[:, 1:]).flatten(0, 1)

    return weight_gradient(kernel.plan, d_rows, operand)


def run(
    kernel: Kernel,
    projected: Tensor,
    hidden_weight: Tensor | None,
    states: Sequence[Tensor],
    per_unit: Sequence[Tensor],
    masks: Sequence[Tensor],
    lengths: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs `[B, T, H]` and final states `[B, H]`.

    Args:
        kernel: the program's kernels.
        projected: W x + b of the input gates, `[B, T, G * H]`.
        hidden_weight: `[G * H, H]`, or None.
        states: initial ones.
        per_unit: vectors, norms' gains and shifts and hidden biases, `[H]` each, in the plan's order.
        masks: in the program's order.
        lengths: `[B]` or None.
    """
    program, units = kernel.program, states[0].shape[1]
    real = states[0].dtype
    bits = [mask.view(torch.uint8) if mask.dtype == torch.bool else mask.to(real) for mask in masks]
    if units % ALIGNMENT:
        projected = _widen(projected, len(program.input_gates), units)
        if hidden_weight is not None:
            columns = _widen(hidden_weight, 1, units)
            hidden_weight = _widen(columns.T, len(program.hidden_gates), units).T
        states, per_unit, bits = (
            [_widen(one, 1, units) for one in some] for some in (states, per_unit, bits)
        )
    outputs, *final = _Run.apply(kernel, units, lengths, projected, hidden_weight, *states, *per_unit, *bits)
    return outputs[..., :units], tuple(state[:, :units] for state in final)


def _widen(tensor: Tensor, parts: int, units: int) -> Tensor:
    """The last axis, so many parts of the given width, with zeros after each part up to the next whole vector."""
    apart = tensor.unflatten(-1, (parts, units))
    return functional.pad(apart, (0, -units % ALIGNMENT)).flatten(-2)


class _Run(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        kernel: Kernel,
        units: int,
        lengths: Tensor | None,
        projected: Tensor,
        hidden_weight: Tensor | None,
        *rest: Tensor,
    ) -> tuple[Tensor, ...]:
        program = kernel.program
        first_mask = len(program.states) + len(vectors(kernel.program))
        states, per_unit = rest[: len(program.states)], rest[len(program.states) : first_mask]
        batch, steps = projected.shape[:2]
        partition = WorkPartition(lengths, batch, steps, units, projected)
        save = any(ctx.needs_input_grad)
        tensors = forward(
            kernel, projected, hidden_weight, states, per_unit, rest[first_mask:], partition, save
        )
        if save:
            ctx.kernel, ctx.partition, ctx.names = kernel, partition, tuple(tensors)
            ctx.save_for_backward(*tensors.values())
        outputs = tensors[f"states_{program.states[0]}"][:, 1:].clone(memory_format=torch.contiguous_format)
        rows = torch.arange(batch, device=projected.device)
        return (outputs, *(tensors[f"states_{name}"][rows, partition.lengths] for name in program.states))

    @staticmethod
    def backward(ctx: Any, d_outputs: Tensor | None, *d_final: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise BackendError("backend 'gpu' gives first derivatives only; use backend='reference'.")
        kernel, partition = ctx.kernel, ctx.partition
        tensors = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        gradients = backward(kernel, tensors, partition, d_outputs, d_final)
        return (
            None, None, None,
            gradients["d_projected"],
            gradients.get("d_hidden_weight"),
            *(gradients[f"d_initial_{name}"] for name in kernel.program.states),
            *(gradients[f"d_{name}"] for name in vectors(kernel.program)),
            *(None for _ in kernel.program.masks),
        )  # fmt: skip
