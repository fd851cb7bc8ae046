"""What the operators `recurra::forward` and `recurra::backward` do; `recurra/operators.py` names them to PyTorch.

A program travels as its key, so that a new process can rebuild it. What they return is fresh memory.
B batch, H hidden, G gates, N steps of all rows together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NoReturn

import torch
from torch import Tensor

from recurra import operators as operators  # so that they exist
from recurra.cells.program import Program
from recurra.engine.cpu.kernel import kernel_of, laid_out, partition
from recurra.engine.plan import StepPlan, plan
from recurra.errors import BackendError, ShapeError

REFERENCE = "use backend='reference'"


@cache
def _planned(key: str) -> StepPlan:
    return plan(Program.from_key(key))


def forward(
    program: str,
    projected: Tensor,
    hidden_weight: Tensor | None,
    lengths: Tensor | None,
    states: Sequence[Tensor],
    per_unit: Sequence[Tensor],
    masks: Sequence[Tensor],
    save: bool,
    bfloat16: bool,
) -> list[Tensor]:
    """Run a program through time.

    Args:
        program: its key.
        projected: W x + b of the input gates, `[N, G * H]`, over the N unpadded steps, row after row.
        hidden_weight: `[G * H, H]`, or None.
        lengths: `[B]`, N in sum; None where every row is N / B long.
        states: initial ones, `[B, H]`.
        per_unit: vectors, norms' gains and shifts and hidden biases, `[H]` each, in the order of `plan.vectors`.
        masks: in the program's order, `[B, H]` or, by step, `[N, H]`.
        save: keep what `backward` needs.
        bfloat16: multiply numbers rounded to bfloat16, and sum in float32; for float32 only.

    Returns:
        Outputs `[N, H]` and final states `[B, H]`; with `save` also the saved values `[N, n * H]` and the states
        after the first at every step, `[N, H]`.
    """
    first = states[0]
    kernel = kernel_of(program, first.dtype == torch.float64, bfloat16)
    _check(kernel.program, len(kernel.vectors), projected, hidden_weight, lengths, states, per_unit, masks)
    names = kernel.program.states
    (batch, hidden), total = first.shape, projected.shape[0]
    if total == 0:
        empty = [first.new_empty(0, n) for n in _saved_widths(kernel.plan, hidden, save)]
        return [first.new_empty(0, hidden), *(state.clone() for state in states), *empty]
    tensors = laid_out(kernel, states, per_unit, masks)
    tensors["projected"] = projected.contiguous()
    tensors["packed"] = kernel.pack(hidden_weight, hidden, first, backwards=False)
    kernel.run_forward(tensors, partition(lengths, batch, total, hidden), save)
    kept = [tensors["saved"], *(tensors[f"states_{name}"] for name in names[1:])] if save else []
    return [tensors[f"states_{names[0]}"], *(tensors[f"final_{name}"] for name in names), *kept]


def _check(
    program: Program,
    vectors: int,
    projected: Tensor,
    hidden_weight: Tensor | None,
    lengths: Tensor | None,
    states: Sequence[Tensor],
    per_unit: Sequence[Tensor],
    masks: Sequence[Tensor],
) -> None:
    """Raise unless everything is as large as the kernels take it to be, and of one type.

    Raises:
        ShapeError: it is not.
    """
    (batch, hidden), total = states[0].shape, projected.shape[0]
    rows = len(program.hidden_gates) * hidden
    expected: list[tuple[str, Sequence[Tensor], tuple[int, ...]]] = [
        ("projected", [projected], (total, len(program.input_gates) * hidden)),
        ("states", states, (batch, hidden)),
        ("per-unit parameters", per_unit, (hidden,)),
        ("hidden_weight", [] if hidden_weight is None else [hidden_weight], (rows, hidden)),
    ]
    dtype = states[0].dtype
    for name, tensors, shape in expected:
        for tensor in tensors:
            if tensor.shape != shape or tensor.dtype is not dtype:
                raise ShapeError(
                    f"{name}: expected {list(shape)} of {dtype}, got {list(tensor.shape)} of {tensor.dtype}."
                )
    for name, mask in zip(program.masks, masks, strict=True):
        if mask.shape not in ((batch, hidden), (total, hidden)):
            raise ShapeError(f"mask {name}: expected [{batch} or {total}, {hidden}], got {list(mask.shape)}.")
    if (
        len(states) != len(program.states)
        or len(per_unit) != vectors
        or (hidden_weight is None) != (rows == 0)
    ):
        raise ShapeError(
            f"expected {len(program.states)} states, {vectors} per-unit parameters and {rows} rows of hidden weights."
        )
    even = lengths is None and (total % batch == 0 if batch else total == 0)
    if not even and (lengths is None or lengths.shape != (batch,) or int(lengths.sum()) != total):
        raise ShapeError(f"lengths: expected {batch} whole numbers that sum up to {total} steps.")


def _saved_widths(step: StepPlan, hidden: int, save: bool) -> list[int]:
    """How wide what `forward` keeps is: the saved values, then the states after the first."""
    return [len(step.saved) * hidden, *(hidden for _ in step.program.states[1:])] if save else []


def backward(
    program: str,
    gradients: Sequence[Tensor | None],
    outputs: Tensor,
    kept: Sequence[Tensor],
    hidden_weight: Tensor | None,
    lengths: Tensor | None,
    states: Sequence[Tensor],
    per_unit: Sequence[Tensor],
    masks: Sequence[Tensor],
    weight_wanted: bool,
    bfloat16: bool,
) -> list[Tensor]:
    """Run a program backwards through time.

    Args:
        program: its key.
        gradients: of the loss by the outputs and by the final states; None is zero.
        outputs, kept: what `forward` returned, but for the final states.
        hidden_weight, lengths, states, per_unit, masks: as `forward` had them.
        weight_wanted: whether to compute the gradient of the hidden weights.
        bfloat16: as `forward` had it.

    Returns:
        The gradients by `projected`, by `hidden_weight` (empty where it is not wanted), by the states and by the
        per-unit parameters.
    """
    first = states[0]
    kernel = kernel_of(program, first.dtype == torch.float64, bfloat16)
    total, hidden = outputs.shape
    d_output, *d_final = gradients
    work = partition(lengths, first.shape[0], total, hidden)
    tensors = laid_out(kernel, states, per_unit, masks)
    tensors["saved"] = kept[0]
    tensors |= dict(
        zip((f"states_{name}" for name in kernel.program.states), (outputs, *kept[1:]), strict=True)
    )
    tensors["packed"] = kernel.pack(hidden_weight, hidden, first, backwards=True)
    d_others = kernel.run_backward(tensors, work, d_output, d_final)
    d_weight = first.new_empty(0)
    if hidden_weight is not None and weight_wanted:
        d_weight = kernel.weight_gradient(tensors, work)
    return [tensors["d_projected"], d_weight, *d_others]


# --- what PyTorch has to know of them ----------------------------------------------------------------


def forward_fake(
    program: str,
    projected: Any,
    hidden_weight: Any,
    lengths: Any,
    states: Any,
    per_unit: Any,
    masks: Any,
    save: bool,
    bfloat16: bool,
) -> list[Tensor]:
    """What `forward` returns, without values."""
    (batch, hidden), total = states[0].shape, projected.shape[0]
    widths = [hidden, *_saved_widths(_planned(program), hidden, save)]
    outputs, *kept = (states[0].new_empty(total, width) for width in widths)
    return [outputs, *(state.new_empty(batch, hidden) for state in states), *kept]


def backward_fake(
    program: str, gradients: Any, outputs: Any, kept: Any, hidden_weight: Any, lengths: Any, states: Any, per_unit: Any,
    masks: Any, weight_wanted: bool, bfloat16: bool,
) -> list[Tensor]:  # fmt: skip
    """What `backward` returns, without values."""
    (total, hidden), batch = outputs.shape, states[0].shape[0]
    inputs = len(_planned(program).program.input_gates)
    wanted = weight_wanted and hidden_weight is not None
    return [
        outputs.new_empty(total, inputs * hidden),
        hidden_weight.new_empty(hidden_weight.shape) if wanted else outputs.new_empty(0),
        *(outputs.new_empty(batch, hidden) for _ in states),
        *(outputs.new_empty(hidden) for _ in per_unit),
    ]


def setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    """Keep of `forward` what its gradients need."""
    program, projected, hidden_weight, lengths, states, per_unit, masks, save, bfloat16 = inputs
    assert save, "gradients are wanted of a call that has not saved what they need"
    ctx.set_materialize_grads(False)
    ctx.program, ctx.bfloat16 = program, bfloat16
    ctx.sizes = (len(states), len(per_unit), len(masks))
    outputs, *kept = output[0], *output[1 + len(states) :]
    ctx.has_projected = projected.shape[1] > 0
    ctx.save_for_backward(outputs, hidden_weight, lengths, *kept, *states, *per_unit, *masks)


def gradients(ctx: Any, gradients: Sequence[Tensor | None]) -> tuple[Any, ...]:
    """The gradients by the arguments of `forward`."""
    states, per_unit, _ = ctx.sizes
    outputs, hidden_weight, lengths, *rest = ctx.saved_tensors
    kept, rest = rest[:states], rest[states:]  # the saved values and every state but the first
    given = (rest[:states], rest[states : states + per_unit], rest[states + per_unit :])
    d_projected, d_weight, *d_others = torch.ops.recurra.backward(
        ctx.program, list(gradients[: 1 + states]), outputs, kept, hidden_weight, lengths, *given,
        ctx.needs_input_grad[2], ctx.bfloat16,
    )  # fmt: skip
    weighted = hidden_weight is not None and ctx.needs_input_grad[2]
    return (
        None,
        d_projected if ctx.has_projected else None,
        d_weight if weighted else None,
        None,
        d_others[:states],
        d_others[states:],
        [None for _ in given[2]],
        None,
        None,
    )


def refuse_second(ctx: Any, *gradients: Any) -> NoReturn:
    """The gradients by the arguments of `backward`, which are not derived."""
    raise BackendError(f"backend 'cpu' gives first derivatives only; {REFERENCE}.")


def refuse_vmap(*arguments: Any) -> NoReturn:
    """Neither operator runs under torch.vmap."""
    raise BackendError(f"backend 'cpu' does not run under torch.vmap; {REFERENCE}.")


def run(
    program: Program,
    projected: Tensor,
    hidden_weight: Tensor | None,
    lengths: Tensor | None,
    states: Sequence[Tensor],
    per_unit: Sequence[Tensor],
    masks: Sequence[Tensor],
    bfloat16: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs `[N, H]` and final states `[B, H]`; arguments as `forward` takes them."""
    floating = [projected, *states, *per_unit, *([] if hidden_weight is None else [hidden_weight])]
    save = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in floating)
    results = torch.ops.recurra.forward(
        program.key,
        projected,
        hidden_weight,
        lengths,
        list(states),
        list(per_unit),
        list(masks),
        save,
        bfloat16,
    )
    return results[0], tuple(results[1 : 1 + len(states)])
