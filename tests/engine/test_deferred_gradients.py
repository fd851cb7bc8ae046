"""What steps of a backward pass defer, and which pass gets it."""

from __future__ import annotations

from typing import Any

import torch

from recurra.engine.deferred_gradients import DeferredGradients


class Step(torch.autograd.Function):
    """Adds its number when it is taken back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, deferred: DeferredGradients[int], number: int) -> torch.Tensor:
        ctx.deferred, ctx.number = deferred, number
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        ctx.deferred.add(ctx.number)
        return gradient, None, None


def chain(deferred: DeferredGradients[int]) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.ones(3, requires_grad=True)
    y = x
    for number in range(4):
        y = Step.apply(y, deferred, number)
    return x, y.sum()


def test_all_of_a_pass_comes_last_step_first_and_once():
    deferred: DeferredGradients[int] = DeferredGradients()
    x, loss = chain(deferred)
    torch.autograd.grad(loss, x)
    assert deferred.pop_all() == [3, 2, 1, 0]
    assert deferred.pop_all() == []


def test_what_one_pass_has_added_is_not_given_to_another():
    deferred: DeferredGradients[int] = DeferredGradients()
    x, loss = chain(deferred)
    torch.autograd.grad(loss, x, retain_graph=True)  # nobody pops
    torch.autograd.grad(loss, x)
    assert deferred.pop_all() == [3, 2, 1, 0]


def test_two_do_not_mix():
    one, other = DeferredGradients[int](), DeferredGradients[int]()
    (x, loss), (y, loss_of_other) = chain(one), chain(other)
    torch.autograd.grad(loss + loss_of_other, (x, y))
    assert one.pop_all() == other.pop_all() == [3, 2, 1, 0]
