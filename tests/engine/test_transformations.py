"""Which of PyTorch's transformations a call is under."""

from __future__ import annotations

import pytest
import torch

from recurra.engine import transformations as names
from recurra.engine.transformations import transformations

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own, of forward mode


def seen(transform):
    """What is found inside a function that is transformed."""
    inside = []

    def function(x):
        inside.append(transformations())
        return x.square().sum()

    transform(function)
    return inside[-1]


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (lambda f: f(torch.ones(2, 3)), ()),
        (lambda f: torch.func.grad(f)(torch.ones(3)), (names.FUNCTIONAL_GRADIENT,)),
        (lambda f: torch.vmap(f)(torch.ones(2, 3)), (names.VMAP,)),
        (lambda f: torch.func.jvp(f, (torch.ones(3),), (torch.ones(3),)), (names.FORWARD_MODE,)),
        (lambda f: torch.vmap(torch.func.grad(f))(torch.ones(2, 3)), (names.VMAP, names.FUNCTIONAL_GRADIENT)),
        (lambda f: torch.func.grad(lambda x: torch.vmap(f)(x).sum())(torch.ones(2, 3)),
         (names.FUNCTIONAL_GRADIENT, names.VMAP)),
    ],
    ids=["none", "grad", "vmap", "jvp", "grad in vmap", "vmap in grad"],
)  # fmt: skip
def test_they_are_named_the_outermost_first(transform, expected):
    assert seen(transform) == expected


def test_forward_mode_without_torch_func():
    from torch.autograd import forward_ad

    with forward_ad.dual_level():
        assert transformations() == (names.FORWARD_MODE,)
    assert transformations() == ()


def test_a_compiled_function_and_an_exported_module_are_told_apart():
    class Module(torch.nn.Module):
        def forward(self, x):
            under = transformations()
            return x + (1 if under == (names.COMPILE,) else 2 if under == (names.EXPORT,) else 3)

    module, x = Module(), torch.zeros(2)
    assert module(x)[0] == 3
    assert torch.compile(module, backend="eager")(x)[0] == 1
    assert torch.export.export(module, (x,)).module()(x)[0] == 2
