"""The reference backend on cells of forms that no built-in cell has."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import Cell, Recurrent

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


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("chunk", [None, 4])
@pytest.mark.parametrize(
    "cell", [OnlyInput, OnlyHidden, OnlyVectors, FromTheInside, TwoProducts, Conditional]
)
def test_equals_the_cell_in_a_loop_by_hand(cell, chunk, ragged):
    rnn = Recurrent(cell, INPUT, HIDDEN, chunk=chunk).double()
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
