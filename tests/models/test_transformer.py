"""The transformer against its equations written out, and its stepper against its loss."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

import cases
import translators
from recurra.models.transformer import sinusoids


def weighted(layer, x):
    return x @ layer.weight.T + layer.bias


def normed(layer, x):
    mean, variance = x.mean(-1, keepdim=True), x.var(-1, correction=0, keepdim=True)
    return (x - mean) / (variance + layer.eps).sqrt() * layer.weight + layer.bias


def attended(layer, x, memory, causal):
    """Every head by itself, every position by itself (Vaswani 2017, section 3.2)."""
    width, heads = x.shape[1], layer.num_heads
    q, k, v = (
        sequence @ weight.T + bias
        for sequence, weight, bias in zip(
            (x, memory, memory),
            layer.in_proj_weight.split(width),
            layer.in_proj_bias.split(width),
            strict=True,
        )
    )
    rows = []
    for t in range(len(x)):
        seen = t + 1 if causal else len(memory)
        parts = []
        for head in range(heads):
            own = slice(head * width // heads, (head + 1) * width // heads)
            energies = torch.stack([q[t, own] @ k[s, own] for s in range(seen)]) / math.sqrt(width / heads)
            parts.append(torch.softmax(energies, 0) @ v[:seen, own])
        rows.append(torch.cat(parts))
    return weighted(layer.out_proj, torch.stack(rows))


def fed(layer, x):
    return weighted(layer.linear2, weighted(layer.linear1, x).clamp(min=0))


def placed(vectors):
    width = vectors.shape[1]
    places = torch.empty_like(vectors)
    for t in range(len(vectors)):
        for i in range(width):
            angle = t / 10000 ** ((i - i % 2) / width)
            places[t, i] = math.cos(angle) if i % 2 else math.sin(angle)
    return vectors + places


def by_hand(network, source, target):
    """The sum of −log P of one target `[Ty]` after its source `[Tx]`."""
    x = placed(network.source_embedding[source])
    for layer in network.encoder.layers:
        inner = normed(layer.norm1, x)
        x = x + attended(layer.self_attn, inner, inner, causal=False)
        x = x + fed(layer, normed(layer.norm2, x))
    memory = normed(network.encoder.norm, x)
    zero = torch.zeros(1, x.shape[1], dtype=x.dtype)
    y = placed(torch.cat([zero, network.target_embedding[target[:-1]]]))
    for layer in network.decoder.layers:
        inner = normed(layer.norm1, y)
        y = y + attended(layer.self_attn, inner, inner, causal=True)
        y = y + attended(layer.multihead_attn, normed(layer.norm2, y), memory, causal=False)
        y = y + fed(layer, normed(layer.norm3, y))
    logits = normed(network.decoder.norm, y) @ network.output_weight.T + network.output_bias
    return functional.cross_entropy(logits, target, reduction="sum")


def test_loss_and_gradients_are_those_of_the_equations():
    """Ragged pairs of a batch; two encoder layers and one in the decoder."""
    network = translators.transformer(encoder_layers=2, num_layers=1)
    batch = translators.ragged()
    pairs = [translators.alone(batch, row) for row in range(4)]
    expected = sum(by_hand(network, pair.inputs[0], pair.targets[0]) for pair in pairs)
    assert cases.difference(network(batch)[0], expected) < 1e-12
    found = translators.gradients(network, batch)
    for name, gradient in zip(found, torch.autograd.grad(expected, list(network.parameters())), strict=True):
        assert cases.difference(found[name], gradient) < 1e-11, name


def test_padding_is_not_looked_at():
    network = translators.transformer()
    batch = translators.ragged()
    loss, tokens, _ = network(batch)
    assert tokens == 17
    translators.spoil_padding(batch)
    assert torch.equal(network(batch)[0], loss)


@pytest.mark.parametrize("width", [1, 5, 8])
def test_positions_are_sines_and_cosines(width):
    places = sinusoids(7, width, torch.zeros(1, dtype=torch.float64))
    assert cases.difference(places, placed(torch.zeros(7, width, dtype=torch.float64))) < 1e-12


def test_step_by_step_costs_what_the_whole_costs():
    network = translators.transformer(encoder_layers=1, tied="output")
    batch = translators.ragged()
    stepper = network.stepper(batch)
    assert cases.difference(translators.cost(stepper, batch), network(batch)[0]) < 1e-12
    assert stepper.start().attention is None
    assert not network.shows_attention


def test_selected_rows_go_on_as_if_alone():
    """Rows repeat, grow, shrink, change places, and lose their sources."""
    network = translators.transformer()
    batch = translators.ragged()
    stepper = network.stepper(batch)
    step, histories = stepper.start(), [(source, []) for source in range(4)]
    for plan in [[0, 1, 2, 3], [3, 3, 0, 2, 2, 1], [5, 0, 1, 4], [3, 1], [1, 0, 0], [2]]:
        state = stepper.select(step.state, torch.tensor(plan))
        symbols = torch.randint(translators.TARGETS, (len(plan),))
        histories = [histories[row] for row in plan]
        histories = [(row[0], [*row[1], one]) for row, one in zip(histories, symbols.tolist(), strict=True)]
        step = stepper.step(symbols, state)
        for row, (source, said) in enumerate(histories):
            pair = translators.alone(batch, source)
            single = network.stepper(pair)
            expected = translators.follow(single, torch.tensor([said]))[-1]
            assert cases.difference(step.log_probs[row], expected.log_probs[0]) < 1e-12


def test_dropout_is_of_training_only_and_decoding_of_evaluation():
    network = translators.transformer(dropout=0.5, label_smoothing=0.0)
    batch = translators.ragged()
    expected = network(batch)[0]
    assert torch.equal(network(batch)[0], expected)
    network.train()
    assert not torch.equal(network(batch)[0], network(batch)[0])
    stepper = network.stepper(batch)
    assert cases.difference(translators.cost(stepper, batch), expected) < 1e-12
    assert all(module.training for module in network.modules())
    assert not stepper.start().log_probs.requires_grad


def test_sizes():
    """Layers start differently, though PyTorch copies them from one."""
    network = translators.transformer(encoder_layers=3, heads=None, feedforward_size=None)
    assert (len(network.encoder.layers), len(network.decoder.layers)) == (3, 2)
    assert network.encoder.layers[0].linear1.weight.shape == (24, 6)
    assert translators.transformer().decoder.layers[1].linear1.weight.shape == (9, 6)
    network.reset_parameters()
    first, second = (layer.linear1.weight for layer in network.encoder.layers[:2])
    assert not torch.equal(first, second)
    assert not network.decoder.layers[1].linear2.bias.any()
    assert torch.equal(network.decoder.norm.weight, torch.ones(6, dtype=torch.float64))
