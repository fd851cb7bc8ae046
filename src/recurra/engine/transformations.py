"""Which of PyTorch's transformations a call is under; backends say which of them they go through."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad

COMPILE = "torch.compile"
EXPORT = "torch.export"
VMAP = "torch.vmap"
FUNCTIONAL_GRADIENT = "torch.func.grad and its kin"
FORWARD_MODE = "forward-mode differentiation"
# By the kind of a level of torch.func.
_FUNCTIONAL = {"Vmap": VMAP, "Grad": FUNCTIONAL_GRADIENT, "Jvp": FORWARD_MODE}


def transformations() -> tuple[str, ...]:
    """The transformations under way, the outermost first."""
    if torch.compiler.is_compiling():
        return (EXPORT if torch.compiler.is_exporting() else COMPILE,)
    if torch._C._functorch.peek_interpreter_stack() is None:
        return (FORWARD_MODE,) if forward_ad._current_level >= 0 else ()
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return tuple(_FUNCTIONAL.get(level.key().name, FUNCTIONAL_GRADIENT) for level in levels)
