"""The generated kernels as PyTorch operators: `recurra::forward` and `recurra::backward` serve all programs.

Here they get their names, as soon as both recurra and PyTorch are imported, so that a graph that torch.export has saved
can be loaded. What they do is in `engine/cpu/operator.py`, which is imported when one of them is first called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

_FORWARD = (
    "forward(str program, Tensor projected, Tensor? hidden_weight, Tensor? lengths, Tensor[] states, "
    "Tensor[] per_unit, Tensor[] masks, bool save, bool bfloat16) -> Tensor[]"
)
_BACKWARD = (
    "backward(str program, Tensor?[] gradients, Tensor outputs, Tensor[] kept, Tensor? hidden_weight, Tensor? lengths, "
    "Tensor[] states, Tensor[] per_unit, Tensor[] masks, bool weight_wanted, bool bfloat16) -> Tensor[]"
)


_HOME = "recurra.engine.cpu.operator"


def _late(name: str) -> Callable[..., Any]:
    """A function of `engine/cpu/operator.py`."""

    def call(*arguments: Any) -> Any:
        home = sys.modules.get(_HOME) or import_module(_HOME)
        return getattr(home, name)(*arguments)

    return call


_setup = _late("setup")


def _set_up(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    _setup(ctx, inputs, output)  # PyTorch gives them by name


def _register(schema: str) -> None:
    """An operator of the library, on the CPU.

    `torch.library.custom_op` would do the same, but imports PyTorch's compiler, for seconds, at the first call. Where
    that is there already it must not look into the function.
    """
    name = schema.partition("(")[0]
    function = _late(name)

    def call(*arguments: Any) -> list[Tensor]:
        if "torch._dynamo" not in sys.modules:
            return function(*arguments)
        return torch.compiler.disable(function)(*arguments)

    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _library.impl(name, call, "CPU")
    torch.library.register_fake(f"recurra::{name}", _late(f"{name}_fake"), lib=_library)
    torch.library.register_vmap(f"recurra::{name}", _late("refuse_vmap"), lib=_library)


_library = torch.library.Library("recurra", "DEF")
_register(_FORWARD)
_register(_BACKWARD)
torch.library.register_autograd("recurra::forward", _late("gradients"), setup_context=_set_up, lib=_library)
torch.library.register_autograd("recurra::backward", _late("refuse_second"), lib=_library)
torch.library.register_autocast("recurra::forward", "cpu", torch.float32, lib=_library)
