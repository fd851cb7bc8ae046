"""Tracing: what can be written, what it becomes, and what is refused in words that name the culprit."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

import cases
from recurra import Cell, CellError, Recurrent
from recurra.cells import GRU, LSTM, Elman, resolve
from recurra.cli import main

INPUT, HIDDEN = 3, 5


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
    assert "returned 1 values" in refusal(
        cell_of(lambda affine, h, c: affine("a", h) + affine("b", c), state=("h", "c"))
    )
    assert "got NoneType" in refusal(cell_of(lambda affine, h: None))
    assert "got float" in refusal(cell_of(lambda affine, h: 1.0))


@pytest.mark.parametrize(
    "attributes",
    [
        {"gates": ("a", "a", "b")},
        {"gates": "ab"},
        {"state": ("h", "h")},
        {"state": ()},
        {"vectors": ("v.w",)},
        {"gates": ("a", 3)},
    ],
)
def test_declarations_are_tuples_of_distinct_names(attributes):
    def step(affine, *states):
        return sum((affine.vector(name) for name in attributes.get("vectors", ())), affine("a") + affine("b"))

    cell = cell_of(step, **attributes)
    message = refusal(cell)
    assert f"Mine.{next(iter(attributes))}" in message


def test_values_of_another_trace_are_refused():
    kept = []

    def step(affine, h):
        kept.append(h)
        return affine("a", h) + affine("b", kept[0])

    cell = cell_of(step)
    cell(2, 3)
    with pytest.raises(CellError, match="another trace"):
        cell(2, 3)


# What a user may write, and by the names of the classes the line that is quoted and what is said of it.
WRONG = """
import functools
import torch
from recurra import Cell


def bent(value):
    return torch.nn.functional.softplus(
        torch.sin(value)
    )


class Mine(Cell):
    gates = ("update", "candidate")

    def step(self, affine, h):
        update = affine("update", h)
        return self.end(affine, update, affine("candidate", h), h)


class Branches(Mine):
    def end(self, affine, update, candidate, h):
        if update > 0:
            return candidate
        return h


class NoRule(Mine):
    def end(self, affine, update, candidate, h):
        return bent(update) + candidate


class NoMethod(Mine):
    def end(self, affine, update, candidate, h):
        parts = [part.cumsum(0) for part in (update, candidate)]
        return sum(parts)


class NoOperator(Mine):
    def end(self, affine, update, candidate, h):
        return update + candidate // 2


class Twice(Mine):
    def end(self, affine, update, candidate, h):
        return functools.reduce(lambda sum, part: sum + affine(part, h), ["update"], candidate)


class Unknown(Mine):
    def end(self, affine, update, candidate, h):
        return candidate * affine.vector("scale")


class TooMany(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        candidate = affine("candidate", h).tanh()
        return candidate, 0.5 * candidate  # two


class Several(Cell):
    gates = ("candidate",)
    early = False

    def step(self, affine, h):
        if self.early:
            return h
        return affine("candidate", h), h


class Nothing(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        h = affine("candidate", h)


class TooFew(Cell):
    gates = ("candidate",)
    state = ("h", "c")

    def step(self, affine, h):
        return affine("candidate", h).tanh()
"""
QUOTED = {
    "Branches": ("if update > 0:", "torch.where"),
    "NoRule": ("torch.sin(value)", "bent, which NoRule.step calls"),
    "NoMethod": (
        "parts = [part.cumsum(0) for part in (update, candidate)]",
        "`.cumsum` cannot be traced; what can: +",
    ),
    "NoOperator": ("return update + candidate // 2", "`__floordiv__` cannot be traced"),
    "Twice": (
        'return functools.reduce(lambda sum, part: sum + affine(part, h), ["update"], candidate)',
        "declare two",
    ),
    "Unknown": ('return candidate * affine.vector("scale")', "Cell.vectors does not declare; add it there"),
    "TooMany": ("return candidate, 0.5 * candidate  # two", "TooMany.step: `return candidate"),
    "Several": ("def step(self, affine, h):", "returned 2 values, but Cell.state declares 1: h"),
    "Nothing": ('h = affine("candidate", h)', "got NoneType"),
    "TooFew": ("def step(self, affine, h):", "expected step(self, affine, h, c)"),
}


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", QUOTED)
def test_the_line_of_the_source_is_quoted(name, wrong):
    text, said = QUOTED[name]
    message = refusal(resolve(f"{wrong}:{name}"))
    found = re.match(rf"{re.escape(str(wrong))}, line (\d+), in .*?: `(.*?)`", message)
    assert found is not None, message
    assert found[2] == text
    assert WRONG.splitlines()[int(found[1]) - 1].strip() == text
    assert f"{name}.step" in message
    assert said in message


@pytest.mark.parametrize("name", QUOTED)
def test_the_command_line_quotes_it_too(name, wrong, monkeypatch, capsys):
    """From the folder of the file its name is enough."""
    monkeypatch.chdir(wrong.parent)
    assert main(["explain", "--cell", f"wrong.py:{name}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("recurra: wrong.py, line ")
    assert f"`{QUOTED[name][0]}`" in line


def test_training_with_it_ends_before_it_begins(wrong, monkeypatch, capsys):
    monkeypatch.chdir(wrong.parent)
    assert main(["train", "lm", "--model.cell", "wrong.py:TooMany", "--out", "run"]) == 2
    assert "wrong.py, line " in capsys.readouterr().err
    assert not Path("run").exists()


def test_without_source_the_line_is_named():
    """As in a session of Python's own, whose lines are kept nowhere."""
    code = (
        "from recurra import Cell\n"
        "class Mine(Cell):\n"
        "    def step(self, affine, h):\n"
        "        return h.sin()\n"
        "class Mine2(Mine):\n"
        "    def step(self, affine, h):\n"
        "        return h, h\n"
        "for cell in (Mine, Mine2):\n"
        "    try: cell(1, 2)\n"
        "    except TypeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("<stdin>, line 4, in Mine.step: `.sin` cannot be traced")
    assert second.startswith("<stdin>, line 7, in Mine2.step returned 2 values")


def test_a_step_that_is_no_function_is_named():
    class Step:
        def __call__(self, affine, h):
            return h, h

    assert refusal(type("Mine", (Cell,), {"step": Step()})).startswith("Mine.step returned 2 values")


def test_a_built_in_step_is_quoted_where_a_subclass_breaks_it():
    message = refusal(type("Mine", (LSTM,), {"gates": ("update",)}))
    assert re.search(r"lstm\.py, line \d+, in Mine\.step: `forget = affine\(\"forget\", h\)", message)
