"""One step of a layer at a time, with gradients or without, on the backend named.

Under "auto" it is compiled where it can be, otherwise the reference's. The vendor's and the gpu backend have no
kernel of a single step: they run a sequence of length one.

B batch, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import ModuleType

import torch
from torch import Tensor

from recurra.engine import cpu, reference, textbook
from recurra.engine.backend import Call, Layer, Options
from recurra.engine.choose import choose
from recurra.engine.reference import OneStep
from recurra.engine.rounding import check_weights, rounded
from recurra.errors import BackendError

States = tuple[Tensor, ...]
Step = Callable[[Tensor, States], States]
MaskedStep = Callable[[Tensor, States, Mapping[str, Tensor]], States]


def one_step(layer: Layer, weights: str | None, backend: str) -> Step:
    """A function of x `[B, I]` and the states `[B, H]` that gives the new states.

    Args:
        layer: in evaluation mode.
        weights: None or "float32" for as they are, "bfloat16" or "int8".
        backend: "auto", or the name of one.

    Raises:
        ConfigError: there are no such weights.
        BackendError: the named backend cannot run the program, or not with such weights.
    """
    weights = check_weights(weights, layer.like.dtype)
    module = _backend(layer, backend)
    if module is cpu:
        from recurra.engine.cpu.streaming import PackedStep

        try:
            return PackedStep(layer.program, layer.parameters, layer.cell.hidden_size, weights, layer.like)
        except BackendError as error:  # the compiler refuses its source
            if backend != "auto":
                raise
            cpu.remember(layer.program, layer.like.dtype, error)
            module = reference
    if weights is not None:
        if module is textbook:
            raise BackendError(f"backend 'textbook' cannot run with weights={weights!r}; use backend='auto'.")
        held = rounded(layer.program, layer.parameters, layer.cell.hidden_size, weights)
        layer = replace(layer, parameters=held)
    step = _step(module, layer, training=False)
    return torch.no_grad()(lambda x, states: step(x, states, {}))


def unrolled_step(layer: Layer, backend: str) -> MaskedStep:
    """A function of x `[B, I]`, the states `[B, H]` and the program's masks `[B, H]`, with gradients.

    Args:
        layer: in the mode that it is to run in.
        backend: "auto", or the name of one.

    Raises:
        BackendError: the named backend cannot run the program.
    """
    module = _backend(layer, backend)
    options = Options(layer.like.device.type, layer.like.dtype)
    if module is cpu and backend == "auto" and cpu.prepare(layer.program, options) is not None:
        module = reference
    if module is cpu:
        from recurra.engine.cpu.unroll import PackedUnroll

        return PackedUnroll(layer.program, layer.parameters, layer.cell.hidden_size, layer.like)
    return _step(module, layer, layer.cell.training)


def _backend(layer: Layer, name: str) -> ModuleType:
    """The backend named; under "auto" the compiled step or the reference."""
    options = Options(layer.like.device.type, layer.like.dtype, changes=layer.changes)
    if name != "auto":
        return choose(layer.program, options, name)
    return cpu if cpu.can_run(layer.program, options) is None else reference


def _step(module: ModuleType, layer: Layer, training: bool) -> MaskedStep:
    if module is reference:
        return _reference(layer)
    drawn_at_each_step = {node.name for node in layer.program.nodes if node.op == "step_mask"}

    def run(x: Tensor, states: States, masks: Mapping[str, Tensor]) -> States:
        if not x.shape[0]:
            return states
        held = {name: mask[:, None] if name in drawn_at_each_step else mask for name, mask in masks.items()}
        call = Call(layer.program, layer.parameters, x[:, None], states, None, held, cell=layer.cell)
        mode = layer.cell.training
        layer.cell.training = training  # the textbook's loop calls the cell, which may ask for it
        try:
            states_after: States = module.run(call).states
            return states_after
        finally:
            layer.cell.training = mode

    return run


def _reference(layer: Layer) -> MaskedStep:
    step = OneStep(layer.program, layer.parameters, layer.cell.hidden_size)

    def run(x: Tensor, states: States, masks: Mapping[str, Tensor]) -> States:
        values = step.evaluate(step.project(x), states, masks)
        return tuple(
            values[index].to(state.dtype).expand_as(state)
            for index, state in zip(layer.program.outputs, states, strict=True)
        )

    return run
