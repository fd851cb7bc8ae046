"""Cells for what other systems compute: the built-in ones where they do, and variants that agree with them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import cases
from recurra import Recurrent
from recurra.cells import CELLS
from recurra.layers import variants
from recurra.layers.variants import (
    Equations,
    cells_for,
    equations_like,
    hard_sigmoid_fifth,
    program_of,
    sigmoid,
    softsign,
    tanh,
    without_bias,
)

FORMS = [
    Equations("RNN", (tanh,)),
    Equations("GRU", (sigmoid, tanh)),
    Equations("GRU", (sigmoid, tanh), reset_after=True),
    Equations("LSTM", (sigmoid, tanh, tanh)),
    Equations("LSTM", (sigmoid, tanh, tanh), peepholes=True),
    Equations("LSTM", (sigmoid, tanh, tanh), coupled=True),
    Equations("LSTM", (sigmoid, tanh, tanh), coupled=True, peepholes=True),
]
ACTIVATIONS = [
    variants.tanh,
    variants.sigmoid,
    variants.relu,
    variants.linear,
    variants.softplus,
    variants.softsign,
    variants.elu,
    variants.leaky_relu,
    variants.hard_sigmoid_fifth,
    variants.hard_sigmoid_sixth,
]


@pytest.mark.parametrize("equations", FORMS)
def test_a_variant_with_the_usual_activations_is_the_built_in_cell(equations):
    ours = cells_for(equations)[0]
    variant = variants.VARIANTS[equations.kind, equations.reset_after, equations.peepholes, equations.coupled]
    if ours.cell is CELLS["gru"]:  # whose sign is the other one
        assert ours.negated == ("update",)
        assert program_of(variant).canonical == cells_for(equations)[1].program.canonical
    else:
        assert ours.negated == ()
        assert program_of(variant).canonical == ours.program.canonical
        assert ours.cell in CELLS.values() or (equations.coupled and equations.peepholes)


@pytest.mark.parametrize("equations", FORMS)
def test_equations_are_found_again(equations):
    for ours in cells_for(equations):
        found = [
            one
            for one in equations_like(ours.program, ACTIVATIONS)
            if ours.program.canonical in {other.program.canonical for other in cells_for(one)}
        ]
        assert found == [equations]


@pytest.mark.parametrize(("function", "theirs"), [
    (variants.softplus, torch.nn.functional.softplus),
    (variants.softsign, torch.nn.functional.softsign),
    (variants.elu, torch.nn.functional.elu),
    (variants.leaky_relu, torch.nn.functional.leaky_relu),
    (variants.hard_sigmoid_sixth, torch.nn.functional.hardsigmoid),
])  # fmt: skip
def test_activations_are_pytorchs_of_these_names(function, theirs):
    """Values and derivatives, at 0 and where exp overflows included."""
    a = torch.tensor([-1e3, -7.3, -3.01, -2.99, -0.4, 0.0, 0.4, 2.99, 3.01, 7.3, 1e3], dtype=torch.float64)
    ours, expected = a.clone().requires_grad_(), a.clone().requires_grad_()
    function(ours).sum().backward()
    theirs(expected).sum().backward()
    torch.testing.assert_close(function(a), theirs(a), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-7, atol=0)  # its 1/6 is a float32


def test_a_variant_copies():
    equations = Equations("LSTM", (variants.hard_sigmoid_sixth, tanh, tanh), clip=2.0)
    rnn = Recurrent(cells_for(equations)[0].cell, 3, 5, backend="reference")
    cases.randomise(rnn)
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(copy.deepcopy(rnn)(x)[0], rnn(x)[0], rtol=0, atol=0)
    assert "LSTM(hard_sigmoid_sixth, tanh, tanh, clip=2)" in repr(rnn)


@pytest.mark.parametrize("equations", FORMS)
def test_without_biases(equations):
    cell = cells_for(equations)[0].cell
    bare = variants.without_bias(cell)
    assert bare is variants.without_bias(cell)
    name, bracket, activations = cell.__name__.partition("(")
    assert bare.__name__ == f"{name}WithoutBias{bracket}{activations}"
    assert bare(3, 5).bias is None
    assert program_of(bare).canonical == program_of(cell).canonical


def test_variants_can_be_pickled_and_copied():
    found = cells_for(Equations("LSTM", (hard_sigmoid_fifth, softsign, tanh), coupled=True, clip=2.0))[0].cell
    for cell in (found, without_bias(found)):
        rnn = Recurrent(cell, 3, 5).double()
        again, copied = pickle.loads(pickle.dumps(rnn)), copy.deepcopy(rnn)  # noqa: S301
        x = torch.randn(2, 4, 3, dtype=torch.float64)
        for other in (again, copied):
            assert type(other.cells[0][0]) is cell
            assert torch.equal(other(x)[0], rnn(x)[0])
