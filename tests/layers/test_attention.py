"""Attention against a loop over positions, written from the formulas."""

from __future__ import annotations

import math

import pytest
import torch

import cases
from recurra.errors import ConfigError
from recurra.layers.attention import ENERGIES, Attention

SOURCES, QUERIES, TIME, QUERY, WIDTH = 4, 3, 6, 5, 7
LENGTHS = [4, 1, 6, 3]


def attention(energy):
    """Memories are as wide as queries only where the energy asks for it."""
    memory = QUERY if energy in ("dot", "scaled") else 4
    size = WIDTH if energy.endswith("additive") else None
    layer = Attention(energy, QUERY, memory, size).double()
    cases.randomise(layer, scale=1.0)
    values = torch.randn(SOURCES, TIME, memory, dtype=torch.float64)
    return layer, values, torch.randn(SOURCES, QUERIES, QUERY, dtype=torch.float64)


def by_hand(layer, query, memory):
    """The energy of one query `[Q]` and one memory `[M]`."""
    if layer.energy in ("dot", "scaled"):
        product = sum(q * m for q, m in zip(query, memory, strict=True))
        return product / math.sqrt(len(memory)) if layer.energy == "scaled" else product
    if layer.energy == "general":
        return query @ (layer.key_weight @ memory)
    hidden = torch.tanh(layer.query_weight @ query + layer.key_weight @ memory + layer.key_bias)
    if layer.energy == "additive":
        return layer.score @ hidden
    return layer.gain * (layer.score / layer.score.square().sum().sqrt()) @ hidden


@pytest.mark.parametrize("energy", ENERGIES)
def test_each_energy_equals_a_loop_over_positions(energy):
    """Contexts and weights, over ragged sources, one of them a single position long."""
    layer, values, query = attention(energy)
    context, weights = layer(query, layer.memory(values, torch.tensor(LENGTHS)))
    for source, length in enumerate(LENGTHS):
        for k in range(QUERIES):
            energies = torch.stack(
                [by_hand(layer, query[source, k], values[source, t]) for t in range(length)]
            )
            alpha = energies.exp() / energies.exp().sum()
            expected = sum(a * values[source, t] for t, a in enumerate(alpha))
            assert cases.difference(weights[source, k, :length], alpha) < 1e-12
            assert cases.difference(context[source, k], expected) < 1e-12


@pytest.mark.parametrize("energy", ENERGIES)
def test_weights_sum_to_one_and_are_zero_on_padding(energy):
    """Whatever lies there; nothing of it gets into the context or into a gradient."""
    layer, values, query = attention(energy)
    lengths = torch.tensor(LENGTHS)
    padding = torch.arange(TIME) >= lengths[:, None]
    found = []
    for filling in (0.0, 1e3):
        padded = cases.leaf(values.masked_fill(padding[:, :, None], filling))
        context, weights = layer(query, layer.memory(padded, lengths))
        assert not weights[padding[:, None].expand_as(weights)].any()
        assert (weights.sum(-1) - 1).abs().max() < 1e-12
        leaves = [padded, *layer.parameters()]
        found.append([context, *torch.autograd.grad(context.square().sum(), leaves)])
        assert not found[-1][1][padding].any()
    assert all(cases.difference(one, other) < 1e-12 for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("energy", ENERGIES)
def test_without_lengths_every_position_is_real(energy):
    layer, values, query = attention(energy)
    whole = layer(query, layer.memory(values, None))
    expected = layer(query, layer.memory(values, torch.full((SOURCES,), TIME)))
    assert all(torch.equal(one, other) for one, other in zip(whole, expected, strict=True))
    assert (whole[1] > 0).all()


def test_a_memory_selects_sources_that_repeat_and_shrink():
    layer, values, query = attention("additive")
    lengths, rows = torch.tensor(LENGTHS), torch.tensor([3, 1, 3])
    found = layer(query[rows], layer.memory(values, lengths).select(rows))
    expected = layer(query, layer.memory(values, lengths))
    assert all(cases.difference(a, b[rows]) < 1e-12 for a, b in zip(found, expected, strict=True))


def test_normed_energy_does_not_see_the_length_of_its_vector():
    layer, values, query = attention("normed_additive")
    before = layer(query, layer.memory(values, None))[1]
    with torch.no_grad():
        layer.score *= 3.0
    assert cases.difference(layer(query, layer.memory(values, None))[1], before) < 1e-12
    with torch.no_grad():
        layer.gain *= 3.0
    assert cases.difference(layer(query, layer.memory(values, None))[1], before) > 1e-3


def test_sizes_and_parameters():
    """The hidden layer of an additive energy is as wide as the query unless said; plain products have no weights."""
    assert Attention("additive", 5, 4).key_weight.shape == (5, 4)
    assert Attention("additive", 5, 4, 3).query_weight.shape == (3, 5)
    assert Attention("general", 5, 4).key_weight.shape == (5, 4)
    assert not list(Attention("scaled", 4, 4).parameters())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("generel", 4, 4), r"energy: expected one of dot, .*, got 'generel'.*'general'\?"),
        (("dot", 4, 6), r"energy: 'dot' multiplies .* are 4 and 6 wide; use 'general'"),
        (("scaled", 6, 4), r"energy: 'scaled' multiplies .* are 6 and 4 wide"),
        (("general", 4, 4, 3), r"attention_size: energy 'general' has no hidden layer; leave it out"),
    ],
)
def test_what_cannot_be_built(arguments, says):
    with pytest.raises(ConfigError, match=says):
        Attention(*arguments)
