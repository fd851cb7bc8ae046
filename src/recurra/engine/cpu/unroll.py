"""One step of a program at a time with gradients, its weights packed once for all steps.

B batch, I input, H hidden, G gates, N rows of all steps together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recurra.cells.program import Program
from recurra.engine.cpu.kernel import kernel_of, laid_out, partition
from recurra.engine.cpu.operator import REFERENCE
from recurra.engine.deferred_gradients import DeferredGradients
from recurra.engine.gradients import weight_gradient
from recurra.engine.inputs import per_unit_parameters
from recurra.engine.plan import Place
from recurra.errors import BackendError

WEIGHTS = ("input_weight", "bias", "hidden_weight")


class PackedUnroll:
    """One step of a program with gradients; parameters as they are when it is made.

    The gradients of the weight matrices are one product over all steps. For that every step depends on a
    token, whose own gradient comes last: it gathers what the steps have deferred.

    Args:
        program: masks included.
        parameters: by the names a cell gives them, all float32 or all float64.
        hidden: H.
        like: a tensor of the parameters' type.
    """

    def __init__(self, program: Program, parameters: Mapping[str, Tensor], hidden: int, like: Tensor) -> None:
        self.program, self.hidden = program, hidden
        self.kernel = kernel_of(program.key, like.dtype == torch.float64)
        self.weights = {name: parameters[name].detach() for name in WEIGHTS if name in parameters}
        weight = self.weights.get("hidden_weight")
        self.packed = {
            backwards: self.kernel.pack(weight, hidden, like, backwards) for backwards in (False, True)
        }
        self.per_unit = per_unit_parameters(program, parameters, hidden)
        # Of each step: gradients and inputs by name, and what hidden weights multiply.
        self.deferred: DeferredGradients[tuple[dict[Any, Tensor], ...]] = DeferredGradients()
        self.token = _Token.apply(self, like, *(parameters[name] for name in self.weights))

    def __call__(
        self, x: Tensor, states: tuple[Tensor, ...], masks: Mapping[str, Tensor]
    ) -> tuple[Tensor, ...]:
        """The new states `[B, H]`, for `x` `[B, I]`, states `[B, H]` and the program's masks `[B, H]`."""
        held = [masks[name] for name in self.program.masks]
        dtype = states[0].dtype
        return tuple(_Step.apply(self, self.token, x.to(dtype), *states, *self.per_unit, *held))


class _Token(torch.autograd.Function):
    """Nothing forwards; backwards the gradients of the weights, over all rows of all steps."""

    @staticmethod
    def forward(ctx: Any, unroll: PackedUnroll, like: Tensor, *weights: Tensor) -> Tensor:
        ctx.unroll = unroll
        return like.new_zeros(())

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Any, ...]:
        unroll = ctx.unroll
        gathered, operands = (
            {name: torch.cat([one[name] for one in of_steps]) for name in of_steps[0]}
            for of_steps in zip(*unroll.deferred.pop_all(), strict=True)
        )
        gradients: dict[str, Tensor] = {}
        d_projected = gathered["d_projected"]  # [N, G * H]
        if "input_weight" in unroll.weights:
            gradients["input_weight"] = d_projected.T @ gathered["x"]
            gradients["bias"] = d_projected.sum(0)
        if "hidden_weight" in unroll.weights:
            d_rows = gathered.get("d_hidden", d_projected)
            gradients["hidden_weight"] = weight_gradient(unroll.kernel.plan, d_rows, operands.__getitem__)
        return None, None, *(gradients[name] for name in unroll.weights)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, unroll: PackedUnroll, token: Tensor, x: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        kernel, names = unroll.kernel, unroll.program.states
        states, per_unit = rest[: len(names)], rest[len(names) : len(names) + len(kernel.vectors)]
        masks = rest[len(names) + len(kernel.vectors) :]
        rows, save = x.shape[0], any(ctx.needs_input_grad)
        tensors = laid_out(kernel, states, per_unit, masks)
        tensors["projected"] = _project(unroll, x)
        tensors["packed"] = unroll.packed[False]
        kernel.run_forward(tensors, partition(None, rows, rows, unroll.hidden), save)
        if save:
            kept = {
                name: one
                for name, one in tensors.items()
                if not name.startswith(("final_", "projected", "packed"))
            }
            ctx.unroll, ctx.names, ctx.masks = unroll, tuple(kept), len(masks)
            # The weights too, so that autograd refuses to go back once they have been changed in place.
            ctx.save_for_backward(x, *unroll.weights.values(), *kept.values())
        return tuple(tensors[f"final_{name}"] for name in names)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise BackendError(f"backend 'cpu' gives first derivatives only; {REFERENCE}.")
        unroll = ctx.unroll
        x, *rest = ctx.saved_tensors
        weights = dict(zip(unroll.weights, rest, strict=False))
        kept = rest[len(weights) :]
        tensors = dict(zip(ctx.names, kept, strict=True))
        tensors["packed"] = unroll.packed[True]
        rows = x.shape[0]
        work = partition(None, rows, rows, unroll.hidden)
        d_others = unroll.kernel.run_backward(tensors, work, None, gradients)
        deferred = {"x": x, "d_projected": tensors["d_projected"]}
        if "d_hidden" in tensors:
            deferred["d_hidden"] = tensors["d_hidden"]
        unroll.deferred.add((deferred, _operands(unroll, tensors)))
        d_x = None
        if "input_weight" in weights and ctx.needs_input_grad[2]:
            d_x = tensors["d_projected"] @ weights["input_weight"]
        return (
            None,
            x.new_zeros(()),
            d_x,
            *d_others,
            *(None for _ in range(ctx.masks)),
        )


def _operands(unroll: PackedUnroll, tensors: Mapping[str, Tensor]) -> dict[Place, Tensor]:
    """What a step multiplies with hidden weights: states before it, states after it, and saved nodes."""
    arrays = {"state": "initial", "new": "states"}
    operands: dict[Place, Tensor] = {}
    for kind, name in unroll.kernel.plan.operands.values():
        if kind == "saved":
            operands[kind, name] = tensors["saved"].split(unroll.hidden, dim=1)[int(name)]
        else:
            operands[kind, name] = tensors[f"{arrays[kind]}_{name}"]
    return operands


def _project(unroll: PackedUnroll, x: Tensor) -> Tensor:
    """W x + b of the input gates, `[B, G * H]`."""
    if "input_weight" not in unroll.weights:
        return x.new_empty(x.shape[0], 0)
    with torch.autocast("cpu", enabled=False):
        return functional.linear(x, unroll.weights["input_weight"], unroll.weights.get("bias"))
