"""Tracing: what can be written, what it becomes, and what is refused in words that name the culprit."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import cases
from recurra import Cell, CellError, Recurrent
from recurra.cells import GRU, LSTM, Elman
from recurra.cells.equations import equations

INPUT, HIDDEN = 3, 5
GENERATOR = np.random.default_rng(0)


def cell_of(step: Callable[..., Any], **attributes: Any) -> type[Cell]:
    """A cell class named Mine; `step` takes affine and the states."""
    body = {"gates": ("a", "b"), "step": lambda self, *args: step(*args)} | attributes
    return type("Mine", (Cell,), body)


def both(expression: Callable[[Any, Any], Any]) -> type[Cell]:
    """A cell of two gates put together by `expression`, saved from overflow by a tanh."""
    return cell_of(lambda affine, h: (expression(affine("a", h), affine("b", h)) * 0.5 + h * 0.1).tanh())


EXPRESSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b + 1,
    "-": lambda a, b: 2 - (a - b),
    "*": lambda a, b: 3 * a * b,
    "/": lambda a, b: 1 / (2 + b.sigmoid()) + a / 2,
    "**": lambda a, b: a**2 + 2 ** b.tanh(),
    "neg": lambda a, b: -a + torch.neg(b),
    "neg method": lambda a, b: a.neg() + b,
    "arithmetic methods": lambda a, b: a.add(b).sub(0.5).mul(b).div(2.0).pow(2),
    "arithmetic functions": lambda a, b: torch.add(
        torch.sub(a, b), torch.mul(a, torch.div(b, torch.pow(2.0, b)))
    ),
    "sigmoid": lambda a, b: a.sigmoid() + torch.sigmoid(b) + functional.sigmoid(a * b),
    "tanh": lambda a, b: a.tanh() + torch.tanh(b) + functional.tanh(a * b),
    "relu": lambda a, b: a.relu() + torch.relu(b) + functional.relu(a * b),
    "exp": lambda a, b: a.tanh().exp() + torch.exp(b.tanh()),
    "log": lambda a, b: (a.sigmoid() + 1).log() + torch.log(b.sigmoid() + 1),
    "softplus": lambda a, b: functional.softplus(a) + b,
    "abs": lambda a, b: a.abs() + torch.abs(b) + abs(a * b),
    "sqrt": lambda a, b: (a.sigmoid() + 1).sqrt() + torch.sqrt(b.sigmoid() + 1),
    "maximum": lambda a, b: a.maximum(b) + torch.maximum(a * b, b),
    "minimum": lambda a, b: a.minimum(b) + torch.minimum(a * b, b),
    "clamp": lambda a, b: (
        a.clamp(-0.3, 0.4) + torch.clamp(b, min=-0.1) + torch.clip(a * b, max=0.2) + a.clip(0.1, 1.0)
    ),
    "where": lambda a, b: torch.where(a > b, a, 0.5) + torch.where(a * b <= 0.1, 1.0, b) + a.where(b != a, b),
    "comparisons": lambda a, b: sum(
        torch.where(condition, a, b)
        for condition in (
            a < 0,
            a <= b,
            a > 0.1,
            a >= b,
            torch.lt(a, b),
            torch.ge(b, 0.2),
            a.gt(b),
            b.le(0.3),
        )
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_traced_step_equals_the_step_on_tensors(name):
    """The program over a sequence, and the same `step` on tensors in a loop by hand; gradients too."""
    cell_class = both(EXPRESSIONS[name])
    rnn = Recurrent(cell_class, INPUT, HIDDEN).double()
    cases.randomise(rnn, 1.0)
    x, h = torch.randn(4, 3, INPUT, dtype=torch.float64), torch.randn(4, HIDDEN, dtype=torch.float64)
    state = rnn.zero_state(4).map(lambda _: h)
    outputs, _ = rnn(x, state)
    by_hand = []
    for t in range(x.shape[1]):
        h = rnn.cells[0][0](x[:, t], h)
        by_hand.append(h)
    expected = torch.stack(by_hand, 1)
    assert cases.difference(outputs, expected) < 1e-12
    for ours, theirs in zip(
        torch.autograd.grad(outputs.square().sum(), list(rnn.parameters())),
        torch.autograd.grad(expected.square().sum(), list(rnn.parameters())),
        strict=True,
    ):
        assert cases.difference(ours, theirs) < 1e-12


def refusal(cell_class: type[Cell]) -> str:
    with pytest.raises(CellError) as caught:
        cell_class(INPUT, HIDDEN)
    message = str(caught.value)
    assert "\n" not in message
    return message


class Base(Cell):
    gates = ("used", "idle")
    vectors = ("v", "lazy_vector")
    norms = ("n", "lazy_norm")

    def step(self, affine, h):
        h = affine("used", h) + affine("idle", h) + affine.vector("v") + affine.vector("lazy_vector")
        return affine.norm("n", h) + affine.norm("lazy_norm", h)


class Derived(Base):
    """Uses less than its base declares."""

    def step(self, affine, h):
        return affine.norm("n", affine("used", h) + affine.vector("v"))


@pytest.mark.parametrize("attribute", ["gates", "vectors", "norms"])
def test_what_is_declared_and_not_used_names_the_declaring_class(attribute):
    used = {"gates": ("used",), "vectors": ("v",), "norms": ("n",)}
    del used[attribute]
    name = {"gates": "idle", "vectors": "lazy_vector", "norms": "lazy_norm"}[attribute]
    message = refusal(type("Third", (Derived,), used))
    assert f"Base.{attribute} declares '{name}'" in message
    assert "Third.step" in message


@pytest.mark.parametrize("attribute", ["initial_bias", "initial_vector"])
def test_initial_value_that_is_not_used_names_the_declaring_class(attribute):
    parent = type("Parent", (Elman,), {attribute: {"candidat": 1.0}})
    message = refusal(type("Child", (parent,), {}))
    assert f"Parent.{attribute} names 'candidat'" in message
    assert "Child" in message


def test_initial_bias_without_biases_is_refused():
    message = refusal(type("Mine", (LSTM,), {"has_bias": False}))
    assert "LSTM.initial_bias names 'forget'" in message


@pytest.mark.parametrize(
    "step",
    [
        lambda affine, h: affine("a", h) + affine("b", h) + affine("a", h),
        lambda affine, h: affine("a", h) + affine("b", h) + affine.input("a"),
        lambda affine, h: (
            affine("b", h) + affine.hidden("a", h) + affine.hidden("a", h * 2) + affine.input("a")
        ),
        lambda affine, h: affine("b", h) + affine("a") + affine("a", h),
    ],
)
def test_gate_used_twice_names_the_declaring_class(step):
    parent = cell_of(step)
    message = refusal(type("Child", (parent,), {}))
    assert re.search(r"Child\.step.* uses the (input|hidden) half of gate 'a' of Mine\.gates twice", message)


def test_input_and_hidden_half_count_as_one_use():
    step = lambda affine, h: (affine.input("a") + h * affine.hidden("a", h) + affine("b")).tanh()  # noqa: E731
    program = cell_of(step)(2, 3).program
    assert (program.input_gates, program.hidden_gates) == (("a", "b"), ("a",))


def test_norm_used_twice():
    step = lambda affine, h: affine.norm("n", affine.norm("n", affine("a", h) + affine("b", h)))  # noqa: E731
    assert "norm 'n' of Mine.norms twice" in refusal(cell_of(step, norms=("n",)))


@pytest.mark.parametrize(
    ("step", "attribute", "name"),
    [
        (lambda affine, h: affine("aa", h), "gates", "aa"),
        (lambda affine, h: affine.input("c"), "gates", "c"),
        (lambda affine, h: affine.hidden("c", h), "gates", "c"),
        (lambda affine, h: affine.vector("v"), "vectors", "v"),
        (lambda affine, h: affine.norm("n", h), "norms", "n"),
    ],
)
def test_undeclared_names(step, attribute, name):
    message = refusal(cell_of(step))
    assert f"'{name}'" in message
    assert f".{attribute} does not declare" in message
    assert "Mine.step" in message


def test_nearest_name_is_offered():
    assert "Did you mean 'update'?" in refusal(
        type("Mine", (GRU,), {"step": lambda self, affine, h: affine("updte", h)})
    )


@pytest.mark.parametrize(
    "step",
    [
        lambda affine, h: affine("a", h) if h else affine("b", h),
        lambda affine, h: affine("a", h) if h > 0 else affine("b", h),
        lambda affine, h: max(affine("a", h), affine("b", h)),
        lambda affine, h: affine("a", h) * (not affine("b", h)),
        lambda affine, h: affine("a", h) and affine("b", h),
    ],
)
def test_bool_of_a_symbol(step):
    assert "torch.where" in refusal(cell_of(step))


@pytest.mark.parametrize(
    "step",
    [
        lambda affine, h: affine("a", h) + (affine("b", h) > 0),
        lambda affine, h: (affine("a", h) > affine("b", h)) * h,
        lambda affine, h: affine("a", affine("b", h) > 0),
        lambda affine, h: affine("a", h) + affine("b", h) > 0,
        lambda affine, h: torch.where(affine("a", h), affine("b", h), h),
    ],
)
def test_comparisons_are_for_where_only(step):
    message = refusal(cell_of(step))
    assert "Mine.step" in message


@pytest.mark.parametrize(
    "step",
    [
        lambda affine, h: torch.sin(affine("a", h)) + affine("b", h),
        lambda affine, h: affine("a", h).sin() + affine("b", h),
        lambda affine, h: torch.softmax(affine("a", h), dim=-1) + affine("b", h),
        lambda affine, h: functional.softplus(affine("a", h), beta=2) + affine("b", h),
        lambda affine, h: affine("a", h) + affine("b", h) + torch.ones(5),
        lambda affine, h: affine("a", 1.0) + affine("b", h),
        lambda affine, h: affine("a", h) + affine("b", h) + None,
        lambda affine, h: affine("a", h) @ affine("b", h),
        lambda affine, h: affine("a", h)[:, 0] + affine("b", h),
        lambda affine, h: affine("a", h) + affine("b", h) * float(h),
        lambda affine, h: affine("a", h).clamp() + affine("b", h),
        lambda affine, h: affine("a", h).clamp(h, 1.0) + affine("b", h),
        lambda affine, h: sum(part for part in affine("a", h)) + affine("b", h),
    ],
)
def test_what_cannot_be_traced_names_the_step(step):
    assert "Mine.step" in refusal(cell_of(step))


def test_returned_states_are_checked():
    assert "returned 2 values" in refusal(cell_of(lambda affine, h: (affine("a", h), affine("b", h))))
    assert "returned 1 value, but" in refusal(
        cell_of(lambda affine, h, c: affine("a", h) + affine("b", c), state=("h", "c"))
    )
    assert "got NoneType" in refusal(cell_of(lambda affine, h: None))
    assert "got float; write 0 * h + the number" in refusal(cell_of(lambda affine, h: 1.0))
    assert "got a comparison" in refusal(cell_of(lambda affine, h: affine("a", h) > affine("b")))


def test_values_of_another_trace_are_refused():
    kept = []

    def step(affine, h):
        kept.append(h)
        return affine("a", h) + affine("b", kept[0])

    assert "a value of another trace came into affine" in refusal(cell_of(step))
    conditions = []

    def step_with_conditions(affine, h):
        conditions.append(h > 0)
        return torch.where(conditions[0], affine("a", h), affine("b", h))

    assert "a value of another trace came into where" in refusal(cell_of(step_with_conditions))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            lambda self, affine, h: affine("a", h) * self.tau,
            "Mine has no attribute 'tau' when its step is traced",
        ),
        (lambda self, affine, h: affine("a", h) * self.hiden_size, "Did you mean 'hidden_size'?"),
        (lambda self, affine, h: h @ self.hidden_weight, "Mine.hidden_weight is made after the trace"),
        (
            lambda self, affine, h: affine("a", h) + self.bias,
            "a gate reads its own weights: affine(gate, r).",
        ),
        (
            lambda self, affine, h: affine.gate("a"),
            "`affine.gate` is not in the notation; what is: affine(gate, r)",
        ),
        (lambda self, affine, h: affine(), "TypeError: "),
        (lambda self, affine, h: affine("a", h, h), "TypeError: "),
        (lambda self, affine, h: affine("a", h) * random.random(), "a second run computes something else"),
        (lambda self, affine, h: affine("a", h) * GENERATOR.random(), "a second run computes something else"),
        (
            lambda self, affine, h: affine("a", setattr(self, "n", 1) or h),
            "step sets self.n, which a program",
        ),
        (lambda self, affine, h: affine("a", h) * unknown, "NameError: name 'unknown' is not defined."),  # noqa: F821
    ],
)
def test_what_a_step_asks_its_cell_for(step, said):
    message = refusal(type("Mine", (Cell,), {"gates": ("a",), "step": step}))
    assert "test_trace.py, line " in message
    assert said in message


def test_the_cause_is_kept():
    with pytest.raises(CellError) as caught:
        cell_of(lambda affine, h: 1 / 0)(INPUT, HIDDEN)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_cached_property_is_no_change():
    class Mine(Elman):
        @cached_property
        def rate(self):
            return float(np.exp(-1 / self.hidden_size))

        def step(self, affine, h):
            return (affine("candidate", h) * self.rate).tanh()

    assert "0.81" in equations(Mine(INPUT, HIDDEN).program)


@pytest.mark.parametrize(
    "mode",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: torch.set_grad_enabled(False),
    ],
)
def test_modes_of_torch(mode):
    """Inside a step they would be lost; around the constructor they change nothing."""

    def step(affine, h):
        with mode():
            a = affine("a", h)
        return a + affine("b")

    message = refusal(cell_of(step))
    assert "torch.no_grad, torch.inference_mode and torch.autocast cannot be traced" in message
    assert "around the call of the layer" in message
    with mode():
        program = Elman(INPUT, HIDDEN).program
    assert program == Elman(INPUT, HIDDEN).program


def test_a_step_of_torchs_device_mode():
    with torch.device("cpu"):
        assert Elman(INPUT, HIDDEN).program.gates == ("candidate",)


def test_a_step_that_is_no_function_is_named():
    class Step:
        def __call__(self, affine, h):
            return h, h

    assert refusal(type("Mine", (Cell,), {"step": Step()})).startswith("Mine.step returned 2 values")


def test_a_built_in_step_is_quoted_where_a_subclass_breaks_it():
    message = refusal(type("Mine", (LSTM,), {"gates": ("update",)}))
    assert re.search(r"lstm\.py, line \d+, in Mine\.step: `forget = affine\(\"forget\", h\)", message)


def test_new_states_stand_in_the_order_in_which_they_are_declared():
    def step(affine, h, m, k):
        return affine("a", h).tanh(), affine("b", h).sigmoid() * m, -k

    program = cell_of(step, state=("h", "m", "k"))(INPUT, HIDDEN).program
    assert program.states == ("h", "m", "k")
    assert [program.nodes[index].op for index in program.outputs] == ["tanh", "mul", "neg"]
