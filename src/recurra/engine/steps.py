"""One step of a program at a time, with gradients or without: compiled where it can be, otherwise the reference's.

B batch, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.engine import cpu
from recurra.engine.backend import Options
from recurra.engine.choose import choose
from recurra.engine.reference import OneStep
from recurra.engine.rounding import check_weights, rounded

States = tuple[Tensor, ...]
Step = Callable[[Tensor, States], States]
MaskedStep = Callable[[Tensor, States, Mapping[str, Tensor]], States]


def one_step(
    program: Program, parameters: Mapping[str, Tensor], hidden: int, weights: str | None, backend: str
) -> Step:
    """A function of x `[B, I]` and the states `[B, H]` that gives the new states.

    Args:
        program: without masks.
        parameters: by the names a cell gives them.
        hidden: H.
        weights: None or "float32" for as they are, "bfloat16" or "int8".
        backend: "auto", or the name of one; "vendor" and "gpu" have no single step, the reference goes in its place.

    Raises:
        ConfigError: there are no such weights.
        BackendError: the named backend cannot run the program.
    """
    like = next(iter(parameters.values()))
    weights = check_weights(weights, like.dtype)
    if _compiled(program, like, backend):
        from recurra.engine.cpu.streaming import PackedStep

        return PackedStep(program, parameters, hidden, weights)
    step = _reference(program, rounded(program, parameters, hidden, weights), hidden)
    return torch.no_grad()(lambda x, states: step(x, states, {}))


def unrolled_step(
    program: Program, parameters: Mapping[str, Tensor], hidden: int, backend: str
) -> MaskedStep:
    """A function of x `[B, I]`, the states `[B, H]` and the program's masks `[B, H]`, with gradients.

    Args:
        program, parameters, hidden, backend: as for `one_step`.

    Raises:
        BackendError: the named backend cannot run the program.
    """
    if _compiled(program, next(iter(parameters.values())), backend):
        from recurra.engine.cpu.unroll import PackedUnroll

        return PackedUnroll(program, parameters, hidden)
    return _reference(program, parameters, hidden)


def _compiled(program: Program, like: Tensor, backend: str) -> bool:
    options = Options(like.device.type, like.dtype)
    named = choose(program, options, backend)
    return named is cpu or (backend == "auto" and cpu.can_run(program, options) is None)


def _reference(program: Program, parameters: Mapping[str, Tensor], hidden: int) -> MaskedStep:
    step = OneStep(program, parameters, hidden)

    def run(x: Tensor, states: States, masks: Mapping[str, Tensor]) -> States:
        values = step.evaluate(step.project(x), states, masks)
        return tuple(
            values[index].to(state.dtype).expand_as(state)
            for index, state in zip(program.outputs, states, strict=True)
        )

    return run
