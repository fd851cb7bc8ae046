"""Equations as they are printed: in plain text and in LaTeX, forwards and backwards."""

from __future__ import annotations

import math
import re
import runpy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings

import random_cells
from recurra import Cell
from recurra.cells import CELLS, LSTM, GRUResetAfter
from recurra.cells.equations import equations as printed
from recurra.cells.program import BINARY

DOCS = Path(__file__).parents[2] / "docs"


class Odd(Cell):
    """What the built-in cells do not use."""

    gates = ("a", "b")
    vectors = ("v",)

    def step(self, affine, h):
        a = affine("a", h)
        b = affine("b").sqrt().abs()
        mixed = torch.where(a > 0.5, -(a - (b - a)), a / (1 + b) ** 2)
        return mixed.clamp(max=3) - affine.vector("v") * torch.maximum(a, b)


def lines(cell, latex=False):
    return printed(cell(3, 5).program, latex).splitlines()


def test_backward_step_of_the_lstm():
    text = lines(LSTM)
    for line in (
        "d_output = d_h' * tanh(c')",
        "d_c' += d_h' * output * (1 - tanh(c') ** 2)",
        "d_forget = d_c' * c",
        "d_a_forget = d_forget * forget * (1 - forget)",
        "d_c = d_c' * forget",
        "d_W_forget += d_a_forget [h, x]^T",
        "d_b_forget += d_a_forget",
    ):
        assert line in text, line
    (d_x,) = (line for line in text if line.startswith("d_x = "))
    assert d_x.count("^T d_a_") == 4


def test_halves_apart_have_gradients_apart():
    text = lines(GRUResetAfter)
    assert "d_a_candidate_h = d_a_candidate * reset" in text
    assert "d_W_candidate_x += d_a_candidate x^T" in text
    assert "d_W_candidate_h += d_a_candidate_h h^T" in text
    assert "d_b_candidate_h += d_a_candidate_h" in text
    assert "d_W_reset += d_a_reset [h, x]^T" in text


def test_brackets_stand_where_they_are_needed():
    step = "\n".join(lines(Odd)).partition("\n\n")[0]
    assert "-(t_1 - (abs(b) - t_1)), t_1 / (1 + abs(b)) ** 2)" in step
    assert "h' = clamp(where(t_1 > 0.5, " in step


class Numbers(Cell):
    """Infinities, NaN, and negative numbers to a power."""

    gates = ("a",)

    def step(self, affine, h):
        a = affine("a", h)
        chosen = torch.where(a > 0, torch.where(a < 2, a, math.inf), -math.inf).clamp(-1, math.inf)
        return chosen + (-2.0) ** h + (-0.0) ** h * torch.where(h > 0, math.nan, h**-1)


def test_infinities_nan_and_negative_bases():
    (step, *_), (latex, *_) = ("\n".join(lines(Numbers, style)).partition("\n\n") for style in (False, True))
    assert "clamp(where(t_1 > 0, where(t_1 < 2, t_1, inf), -inf), -1, inf)" in step
    assert "(-2) ** h + (-0) ** h * where(h > 0, nan, h ** -1)" in step
    assert r"\infty\right), -\infty\right), -1, \infty\right)" in latex
    assert r"{(-2)}^{h} + {(-0)}^{h} \odot" in latex
    assert r"\mathrm{NaN}, {h}^{-1}" in latex


def test_long_expressions_are_cut():
    """Into lines of at most `LONGEST` parts, a chain as well as a sum; every name is defined before it is used."""

    class Long(Cell):
        gates = ("a",)

        def step(self, affine, h):
            chain = affine("a", h)
            for _ in range(100):
                chain = (0.9 * chain - 0.1).tanh()
            return chain + sum(h**power for power in range(3, 80))

    text = lines(Long)
    assert max(map(len, text)) < 400
    known = set()
    for line in text:
        if " = " in line:
            left, right = line.split(" = ")
            assert not set(re.findall(r"\bt_\d+\b", right)) - known, line
            known.add(left)
    assert len(known) > 10


@pytest.mark.parametrize("name", CELLS)
def test_printed_steps_compute_what_the_cell_computes(name):
    """The text of the forward step is Python, but for the products; run it, and compare."""
    torch.manual_seed(0)
    cell = CELLS[name](3, 5).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(2, 3, dtype=torch.float64)
    states = {state: torch.randn(2, 5, dtype=torch.float64) for state in cell.state}
    functions = ("sigmoid", "tanh", "relu", "exp", "log", "maximum", "clamp", "where")
    names = {**states, "x": x, **{name: getattr(torch, name) for name in functions}}
    for norm in cell.norms:
        gain, shift = (cell.get_parameter(f"norm_{norm}_{part}") for part in ("gain", "shift"))
        names[f"layer_norm_{norm}"] = lambda v, gain=gain, shift=shift: torch.nn.functional.layer_norm(
            v, (5,), gain, shift, 1e-5
        )
    for vector in cell.vectors:
        names[f"p_{vector}"] = cell.get_parameter(f"vector_{vector}")
    for gate in cell.gates:
        names[f"both_{gate}"] = lambda r, x, gate=gate: (
            r @ cell.rows("hidden_weight", gate).T + x @ cell.rows("input_weight", gate).T
        )
        names[f"W_{gate}_x"] = cell.rows("input_weight", gate)
        if gate in cell.program.hidden_gates:
            names[f"W_{gate}_h"] = cell.rows("hidden_weight", gate)
        for side, bias in (("", "bias"), ("_x", "bias"), ("_h", "hidden_bias")):
            has_one = gate in cell.program.hidden_bias_gates or bias == "bias"
            if has_one and getattr(cell, bias) is not None:
                names[f"b_{gate}{side}"] = cell.rows(bias, gate)
    for line in lines(type(cell))[1:]:
        if not line:
            break
        for gate in cell.gates:
            line = line.replace(f"W_{gate} [", f"both_{gate}(").replace("], x]", ", x)")
            for operand in ("x", "h"):
                line = line.replace(f"W_{gate}_{operand} {operand}", f"{operand} @ W_{gate}_{operand}.T")
        left, right = line.replace(", x]", ", x)").replace("'", "_new").split(" = ")
        names[left] = eval(right, {}, names)  # noqa: S307
    found = [names[f"{state}_new"] for state in cell.state]
    expected = cell(x, states[cell.state[0]] if len(states) == 1 else tuple(states.values()))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted)


def assert_balanced_and_complete(cell):
    latex = "\n".join(lines(cell, latex=True))
    text = [line for line in lines(cell) if " = " in line or " += " in line]
    assert latex.count(r" \\") == len(text)
    for left, right in ("{}", "()"):
        assert latex.count(left) == latex.count(right)
    assert latex.count(r"\left") == latex.count(r"\right")
    assert latex.count(r"\begin{aligned}") == latex.count(r"\end{aligned}") == 3
    assert "**" not in latex
    assert BINARY["mul"] not in latex.replace(r"\odot", "")


@pytest.mark.parametrize("cell", [*CELLS.values(), Odd], ids=lambda cell: cell.__name__)
def test_latex_is_balanced_and_complete(cell):
    assert_balanced_and_complete(cell)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(random_cells.sources())
def test_equations_of_random_cells_are_complete(source):
    """In both styles, every name is defined before it is used."""
    cell = random_cells.cell_of(source)
    assert_balanced_and_complete(cell)
    known: set[str] = set()
    for line in lines(cell):
        if " = " in line:
            left, right = line.split(" = ")
            assert not set(re.findall(r"\bt_\d+\b", right)) - known, line
            known.add(left)
    assert known


def test_pages_of_the_built_in_cells_are_up_to_date():
    """`python docs/cell_pages.py` writes them."""
    page = runpy.run_path(str(DOCS / "cell_pages.py"))["page"]
    assert sorted(path.stem for path in (DOCS / "cells").iterdir()) == sorted(CELLS)
    for name in CELLS:
        assert (DOCS / "cells" / f"{name}.md").read_text(encoding="utf-8") == page(name), name
