"""The reference backend, and the generated kernels beside it, on cells of forms that no built-in cell has."""

from __future__ import annotations

import pytest
import torch

import cases
import grid
from recurra import Cell, Recurrent
from recurra.cells.program import Node, Program
from recurra.engine import BACKENDS
from recurra.engine.backend import Call
from recurra.engine.cpu import build

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6


class OnlyInput(Cell):
    """No product with hidden weights."""

    gates = ("a", "keep")

    def step(self, affine, h):
        return affine("keep").sigmoid() * h + affine("a").tanh()


class OnlyHidden(Cell):
    """No use of the input at all."""

    gates = ("a",)

    def step(self, affine, h):
        return (h - affine.hidden("a", h)).tanh()


class OnlyVectors(Cell):
    """Neither product."""

    vectors = ("keep", "level")

    def step(self, affine, h):
        return affine.vector("keep") * h + affine.vector("level")


class FromTheInside(Cell):
    """The first state passes through; the second is the same for all rows; the third lies before it in the loop."""

    gates = ("a",)
    state = ("h", "level", "last")
    vectors = ("level",)

    def step(self, affine, h, level, last):
        return affine("a", last * level).tanh(), affine.vector("level").sigmoid(), h


class TwoProducts(Cell):
    """Three products, the second on the result of the first; a gate order that is not that of use."""

    gates = ("third", "first", "second", "again")
    norms = ("middle",)

    def step(self, affine, h):
        first = affine("first", h).sigmoid()
        second = affine("second", affine.norm("middle", first * h)).tanh()
        return torch.maximum(affine("third", second), 0.1 * h) + affine.hidden("again", h).sigmoid()


class Conditional(Cell):
    """Comparisons, clamps and constants on either side."""

    gates = ("a", "b")

    def step(self, affine, h):
        a, b = affine("a", h), affine("b", h)
        return torch.where(a > 0.1, torch.clamp(a, max=1.0), 0.5 - b.tanh()) * 0.9


@pytest.mark.parametrize("backend", [name for name in grid.BACKENDS if name != "vendor"])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize(
    "cell", [OnlyInput, OnlyHidden, OnlyVectors, FromTheInside, TwoProducts, Conditional]
)
def test_equals_the_cell_in_a_loop_by_hand(cell, chunk, ragged, backend):
    rnn = Recurrent(cell, INPUT, HIDDEN, chunk=chunk, backend=backend).double()
    cases.randomise(rnn)
    lengths = [6, 0, 3, 5] if ragged else [TIME] * BATCH
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    start = cases.random_state(rnn, BATCH)
    outputs, final = rnn(x, start, torch.tensor(lengths))
    expected = torch.zeros(BATCH, TIME, HIDDEN, dtype=torch.float64)
    last = {name: value.clone() for name, value in start.layers[0][0].items()}
    for row, length in enumerate(lengths):
        states = tuple(value[row : row + 1] for value in start.layers[0][0].values())
        for t in range(length):
            new = rnn.cells[0][0](x[row : row + 1, t], states)
            states = tuple(value.expand(1, HIDDEN) for value in (new if isinstance(new, tuple) else (new,)))
            expected[row, t] = states[0]
        for name, value in zip(last, states, strict=True):
            last[name][row] = value[0]
    assert cases.difference(outputs, expected) < 1e-12
    for name, value in last.items():
        assert cases.difference(final.layers[0][0][name], value) < 1e-12
    found = torch.autograd.grad((outputs**2).sum(), list(rnn.parameters()), allow_unused=True)
    wanted = torch.autograd.grad((expected**2).sum(), list(rnn.parameters()), allow_unused=True)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or cases.difference(ours, theirs) < 1e-12


def test_an_output_that_does_not_depend_on_the_row():
    """Shapes hold even where the new state is a vector of the cell."""

    class Level(Cell):
        vectors = ("level",)

        def step(self, affine, h):
            return affine.vector("level").tanh()

    rnn = Recurrent(Level, INPUT, HIDDEN, backend="reference")
    outputs, state = rnn(torch.zeros(BATCH, TIME, INPUT))
    assert outputs.shape == (BATCH, TIME, HIDDEN)
    assert state.layers[0][0]["h"].shape == (BATCH, HIDDEN)
    assert (outputs == rnn.cells[0][0].vector_level.tanh()).all()


class Flags(Cell):
    """Numbers alone: on both sides of a condition, into a product, and out as a state."""

    gates = ("a", "b")
    state = ("h", "flag")

    def step(self, affine, h, flag):
        chosen = torch.where(h > 0, 0.1, -0.3)
        h = affine("a", chosen).tanh() + affine("b", flag)
        return h, torch.where(h > 0.2, 0.7, torch.where(h < -0.2, -0.1, 0.0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_numbers_are_of_the_states_type(dtype):
    rnn = Recurrent(Flags, INPUT, HIDDEN, backend="reference").to(dtype)
    cases.randomise(rnn)
    x = torch.randn(BATCH, 1, INPUT, dtype=dtype)
    start = cases.random_state(rnn, BATCH)
    outputs, final = rnn(x, start)
    own, old = rnn.cells[0][0], start.layers[0][0]

    def whole(gate, operand):
        product = operand @ own.rows("hidden_weight", gate).T
        return product + x[:, 0] @ own.rows("input_weight", gate).T + own.rows("bias", gate)

    chosen = torch.full_like(old["h"], -0.3).masked_fill(old["h"] > 0, 0.1)
    h = whole("a", chosen).tanh() + whole("b", old["flag"])
    flag = torch.zeros_like(h).masked_fill(h > 0.2, 0.7).masked_fill(h < -0.2, -0.1)
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    assert outputs.dtype == final.layers[0][0]["flag"].dtype == dtype
    assert cases.difference(outputs[:, 0], h) < tolerance
    if dtype == torch.float64:
        assert torch.equal(final.layers[0][0]["flag"], flag)
        assert 0.7 in flag


def test_numbers_may_stand_anywhere_in_a_program():
    """Also where tracing puts none: as operands of one operation, of a product and of a norm, and as a state."""
    nodes = (
        Node("state", name="h"),
        Node("constant", values=(2.0,)),
        Node("constant", values=(0.3,)),
        Node("pow", (1, 2)),
        Node("maximum", (2, 3)),
        Node("hidden", (2,), "a"),
        Node("norm", (4,), "n"),
        Node("lt", (2, 3)),
        Node("where", (7, 5, 2)),
        Node("add", (8, 6)),
        Node("clamp", (4,), values=(None, 1.1)),
        Node("mul", (9, 10)),
        Node("add", (11, 0)),
    )
    program = Program(("a",), ("h", "level"), nodes, (12, 2), has_bias=False)
    weight, gain, shift, x = torch.randn(4, HIDDEN, HIDDEN, dtype=torch.float64)
    parameters = {"hidden_weight": weight, "norm_n_gain": gain[0], "norm_n_shift": shift[0]}
    states = tuple(torch.randn(2, HIDDEN, HIDDEN, dtype=torch.float64))
    expected = torch.where(torch.tensor(True), 0.3 * weight.sum(1), 0.3) + shift[0]
    for backend in ("reference", *(("cpu",) if build.compiler() else ())):
        result = BACKENDS[backend].run(Call(program, parameters, x[:, None], states))
        h, level = result.states
        torch.testing.assert_close(h, expected * 1.1 + states[0], rtol=1e-12, atol=1e-12)
        assert torch.equal(level, torch.full_like(level, 0.3))
