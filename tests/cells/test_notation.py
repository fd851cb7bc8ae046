"""The tables of docs/cells.md: what is said to be possible runs, the rest is refused, and what it says instead runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import cases
from recurra import Cell, CellError
from recurra.cells import resolve
from recurra.engine import Call, reference

INPUT, HIDDEN, BATCH = 3, 5, 4
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cells.md").read_text(encoding="utf-8")
WORDS = {"`vectors`", "`state`", "`affine`", "`initial_vector`"}  # in the last column, and no expressions


def rows(header: str) -> dict[str, tuple[bool, str]]:
    """Of a table of the page: by the first column whether it is possible, and what to write instead."""
    lines = PAGE[PAGE.index(f"| {header} | possible | instead |") :].splitlines()[2:]
    found = {}
    for line in lines[: lines.index("")]:
        form, possible, remedy = (part.strip() for part in line.strip().removesuffix("|")[1:].split(" |"))
        assert possible.startswith(("yes", "no")), line
        assert possible == "no" or not remedy, line
        found[form] = possible.startswith("yes"), remedy
    return found


EXPRESSIONS = rows("expression")
OTHERS = rows("in a cell")

CELL = """
import math, random
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from recurra import Cell


class Mine(Cell):
    gates = ("a", "b"{gates})
    vectors = {vectors}
    norms = {norms}

    def step(self, affine, h):
        a, b = affine("a", h).sigmoid() + 0.5, affine("b", h).sigmoid() + 0.5
        value = (
            {expression}
        )
        return (0.3 * value + 0.1 * (a + b + h)).tanh()
"""


def written(expression: str, folder: Path) -> str:
    """A file with a cell around the expression, as `resolve` takes it."""
    used = {
        "gates": ', "c"' if '"c"' in expression else "",
        "vectors": ("v",) if 'vector("v")' in expression else (),
        "norms": ("n",) if 'norm("n"' in expression else (),
    }
    path = folder / "mine.py"
    path.write_text(CELL.format(expression=expression, **used), encoding="utf-8")
    return f"{path}:Mine"


def check_runs(cell_class: type[Cell]) -> None:
    """A cell by itself, and its program over three steps: the same numbers and gradients."""
    cell = cell_class(INPUT, HIDDEN).double()
    cases.randomise(cell)
    x = torch.randn(BATCH, 3, INPUT, dtype=torch.float64, requires_grad=True)
    states = tuple(torch.randn(BATCH, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in cell.state)
    program, new = reference.run(Call(cell.program, cell.named_tensors(), x, states)).states, states
    for t in range(3):
        new = cell(x[:, t], new)
        new = new if isinstance(new, tuple) else (new,)
    leaves = [x, *states, *cell.parameters()]
    for ours, theirs in zip(new, program, strict=True):
        assert cases.difference(ours, theirs) < 1e-12
        for one, other in zip(
            torch.autograd.grad(ours.sum(), leaves, retain_graph=True, allow_unused=True),
            torch.autograd.grad(theirs.sum(), leaves, retain_graph=True, allow_unused=True),
            strict=True,
        ):
            assert (one is None) == (other is None)
            assert one is None or cases.difference(one, other) < 1e-12


@pytest.mark.parametrize("form", EXPRESSIONS)
def test_the_table_of_expressions(form, tmp_path):
    possible, remedy = EXPRESSIONS[form]
    name = written(form.strip("`"), tmp_path)
    if possible:
        check_runs(resolve(name))
        return
    with pytest.raises(CellError) as caught:
        resolve(name)(INPUT, HIDDEN)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path / 'mine.py'}, line ")
    assert re.search(r"in Mine\.step: `.*`: .+\.$", message), message
    assert remedy, f"{form}: say what to write instead"
    for span in re.findall(r"`[^`]+`", remedy):
        if span not in WORDS and "..." not in span:
            check_runs(resolve(written(f"({span.strip('`')}) * a", tmp_path)))


def test_what_the_table_has_instead_has_the_same_values():
    """Wherever tensors take both."""
    compared = 0
    for form, (possible, remedy) in EXPRESSIONS.items():
        span = re.match(r"`([^`]+)`", remedy)
        if possible or span is None or "affine" in span[1]:
            continue
        values = []
        for expression in (form.strip("`"), span[1]):
            a, b = torch.linspace(-1.7, 1.6, 12), torch.linspace(2.0, -1.9, 12)
            names = {"a": a, "b": b, "torch": torch, "np": np, "nn": nn, "functional": functional}
            try:
                values.append(torch.as_tensor(eval(expression, names)))  # noqa: S307 - our own documentation
            except (AttributeError, DeprecationWarning, NameError, RuntimeError, SyntaxError, TypeError):
                break
        if len(values) == 2:
            compared += 1
            torch.testing.assert_close(
                *values, msg=lambda text, form=form: f"{form}: {text}", check_dtype=False
            )
    assert compared > 12


class Base(Cell):
    gates = ("a", "b")

    def value(self, a: Any, b: Any) -> Any:
        return a + b

    def step(self, affine, h):
        return (self.value(affine("a", h), affine("b", h)) * 0.5 + h).tanh()


class ClassNumber(Base):
    tau = 0.1

    def value(self, a, b):
        return a + self.tau * b


class Before(Base):
    def __init__(self, input_size, hidden_size, tau=0.1):
        self.tau = tau
        super().__init__(input_size, hidden_size)

    value = ClassNumber.value


class After(Base):
    def __init__(self, input_size, hidden_size, tau=0.1):
        super().__init__(input_size, hidden_size)
        self.tau = tau

    value = ClassNumber.value


class Sizes(Base):
    def value(self, a, b):
        return a / self.hidden_size + b / self.input_size + float(self.training)


class Flag(Base):
    flag = True

    def value(self, a, b):
        if self.flag:
            return a * b
        return a + b


class Loop(Cell):
    gates = ("a", "b")

    def step(self, affine, h):
        for gate in self.gates:
            h = (h + affine(gate, h)).tanh()
        return h


def outside(a: Any) -> Any:
    return a.softplus()


class Calls(Base):
    def inside(self, a):
        return outside(a) + 1

    def value(self, a, b):
        return self.inside(a) * b


class Prints(Base):
    def value(self, a, b):
        print(a)
        return a + b


class InPlace(Base):
    def value(self, a, b):
        a += b
        b *= a
        return a - b


class Branches(Base):
    def value(self, a, b):
        if a > 0:
            return a
        return b


class NoGradient(Base):
    def value(self, a, b):
        with torch.no_grad():
            a = 2 * a
        return a + b


class Module(Base):
    def __init__(self, input_size, hidden_size):
        self.act = nn.Sequential(nn.Tanh(), nn.Softplus())
        super().__init__(input_size, hidden_size)

    def value(self, a, b):
        return self.act(a) + b


class OwnLinear(Base):
    def __init__(self, input_size, hidden_size):
        self.linear = nn.Linear(hidden_size, hidden_size)
        super().__init__(input_size, hidden_size)

    def value(self, a, b):
        return self.linear(a) + b


class OwnParameter(Base):
    def __init__(self, input_size, hidden_size):
        self.scale = nn.Parameter(torch.ones(hidden_size))
        super().__init__(input_size, hidden_size)

    def value(self, a, b):
        return self.scale * a + b


class OwnBuffer(Base):
    def __init__(self, input_size, hidden_size):
        self.register_buffer("scale", torch.ones(hidden_size))
        super().__init__(input_size, hidden_size)

    def value(self, a, b):
        return self.scale * a + b


class Keeps(Base):
    def value(self, a, b):
        self.last = a
        return a + b


class NumberState(Cell):
    state = ("h", "c")

    def step(self, affine, h, c):
        return 0.9 * h, 1.0


# By the table's first column: a cell, and, of one that is refused, its line and a part of what is said.
CELLS: dict[str, tuple[type[Cell], str, str]] = {
    "`tau = 0.1` in the class, `self.tau` in `step`": (ClassNumber, "", ""),
    "`self.tau = tau` before `super().__init__(...)`": (Before, "", ""),
    "`self.tau = tau` after `super().__init__(...)`, which traces": (
        After,
        "return a + self.tau * b",
        "After has no attribute 'tau' when its step is traced, by super().__init__(...); set numbers and flags before",
    ),
    "`self.hidden_size`, `self.input_size`, `self.training`": (Sizes, "", ""),
    "`if self.flag:`": (Flag, "", ""),
    "`for gate in self.gates:`": (Loop, "", ""),
    "a function or a method that `step` calls": (Calls, "", ""),
    "`print(a)`": (Prints, "", ""),
    "`a += b`": (InPlace, "", ""),
    "`if a > 0:`": (Branches, "if a > 0:", "torch.where(condition, a, b)"),
    "`with torch.no_grad():`": (NoGradient, "a = 2 * a", "around the call of the layer"),
    "`self.act = nn.Tanh()` before `super().__init__(...)`": (Module, "", ""),
    "`self.linear = nn.Linear(...)`": (OwnLinear, "return self.linear(a) + b", "is a gate: affine(gate, r)"),
    "`self.scale = nn.Parameter(...)`": (
        OwnParameter,
        "return self.scale * a + b",
        "got Parameter [5]; for a constant",
    ),
    "`self.register_buffer(...)`": (OwnBuffer, "return self.scale * a + b", "got Tensor [5]; for a constant"),
    "`self.last = h` in `step`": (Keeps, "def step(self, affine, h):", "step sets self.last"),
    "a number as a new state": (NumberState, "return 0.9 * h, 1.0", "got float; write 0 * h + the number"),
}


@pytest.mark.parametrize("form", OTHERS)
def test_the_table_of_what_a_cell_may_have(form, capsys):
    possible, remedy = OTHERS[form]
    cell_class, line, said = CELLS[form]
    assert possible == (not line)
    if possible:
        check_runs(cell_class)
        return
    assert remedy, f"{form}: say what to write instead"
    with pytest.raises(CellError) as caught:
        cell_class(INPUT, HIDDEN)
    message = str(caught.value)
    assert "\n" not in message
    assert "test_notation.py, line " in message
    assert f"`{line}`" in message
    assert said in message


def test_every_case_is_a_row():
    assert set(CELLS) == set(OTHERS)


def test_the_constructors_argument_is_taken():
    """The cell of another value is another program."""
    assert Before(INPUT, HIDDEN, tau=0.2).program != Before(INPUT, HIDDEN).program
    check_runs(Before)


def test_own_modules_may_come_after_too_where_step_does_not_use_them():
    class Mine(Base):
        def __init__(self, input_size, hidden_size):
            self.before = nn.Linear(hidden_size, 2)
            super().__init__(input_size, hidden_size)
            self.after = nn.Parameter(torch.ones(2))

    cell = Mine(INPUT, HIDDEN)
    assert {"before.weight", "before.bias", "after"} < {name for name, _ in cell.named_parameters()}
    assert cell(torch.zeros(BATCH, INPUT), torch.zeros(BATCH, HIDDEN)).shape == (BATCH, HIDDEN)
