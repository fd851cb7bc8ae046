"""Heads against formulas written out: log-probabilities, losses, input vectors."""

from __future__ import annotations

import pytest
import torch

from recurra.layers import output
from recurra.layers.heads import Bernoulli, Categorical

N, H, E, V = 7, 5, 3, 11


def layer(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden `[N, H]`, weight `[V, H]` and bias `[V]`."""
    return torch.randn(N, H, dtype=dtype), torch.randn(V, H, dtype=dtype), torch.randn(V, dtype=dtype)


def test_categorical_log_probs_are_a_softmax():
    logits = torch.randn(2, 3, V, dtype=torch.float64)
    expected = (logits.exp() / logits.exp().sum(-1, keepdim=True)).log()
    torch.testing.assert_close(Categorical().log_probs(logits), expected)


def test_bernoulli_log_probs_are_of_each_key():
    logits = torch.randn(2, 3, V, dtype=torch.float64)
    torch.testing.assert_close(Bernoulli().log_probs(logits), -(1 + (-logits).exp()).log())


@pytest.mark.parametrize("training", [True, False])
def test_categorical_loss_is_that_of_its_log_probs(training: bool):
    hidden, weight, bias = layer()
    targets = torch.randint(V, (N,))
    expected = -Categorical().log_probs(hidden @ weight.T + bias)[torch.arange(N), targets].sum()
    torch.testing.assert_close(Categorical().loss(hidden, weight, bias, targets, training), expected)


@pytest.mark.parametrize("training", [True, False])
def test_bernoulli_loss_is_that_of_its_log_probs(training: bool):
    hidden, weight, bias = layer(torch.float32)
    keys, logits = torch.rand(N, V) < 0.3, hidden @ weight.T + bias
    log_on, log_off = Bernoulli().log_probs(logits), Bernoulli().log_probs(-logits)
    expected = -torch.where(keys, log_on, log_off).sum()
    torch.testing.assert_close(Bernoulli().loss(hidden, weight, bias, keys.float(), training), expected)


def test_the_loss_is_sampled_in_training_only():
    hidden, weight, bias = layer(torch.float32)
    targets, head = torch.randint(V, (N,)), Categorical(sampled_softmax=4)
    torch.manual_seed(5)
    expected = output.sampled_cross_entropy(hidden, weight, bias, targets, 4)
    torch.manual_seed(5)
    assert torch.equal(head.loss(hidden, weight, bias, targets, training=True), expected)
    state = torch.get_rng_state()
    exact = head.loss(hidden, weight, bias, targets, training=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(exact, output.cross_entropy(hidden, weight, bias, targets))
    assert not torch.equal(exact, expected)


def test_ids_are_embedded_and_the_first_input_is_zero():
    embedding = torch.randn(V, E, dtype=torch.float64)
    ids = torch.tensor([[-1, 4, 0], [10, -1, 4]])
    vectors = Categorical().embed(ids, embedding, V, torch.float64)
    units = Categorical().embed(ids, None, V, torch.float64)
    assert units.dtype == torch.float64
    for place in [(row, step) for row in range(2) for step in range(3)]:
        known = int(ids[place])
        expected = torch.zeros(E, dtype=torch.float64) if known < 0 else embedding[known]
        assert torch.equal(vectors[place], expected)
        assert units[place].nonzero().flatten().tolist() == ([] if known < 0 else [known])
        assert units[place].sum() == (known >= 0)


def test_rows_are_embedded_as_the_sum_of_their_keys():
    embedding = torch.randn(V, E, dtype=torch.float64)
    keys = (torch.rand(2, 3, V) < 0.4).to(torch.uint8)
    keys[0, 0] = 0
    vectors = Bernoulli().embed(keys, embedding, V, torch.float64)
    for place in [(row, step) for row in range(2) for step in range(3)]:
        torch.testing.assert_close(vectors[place], embedding[keys[place].bool()].sum(0))
    units = Bernoulli().embed(keys, None, V, torch.float64)
    assert units.dtype == torch.float64
    assert torch.equal(units, keys.double())


def test_heads_are_values():
    assert Categorical(4) == Categorical(4) != Categorical()
    assert (Categorical().name, Bernoulli().name) == ("categorical", "bernoulli")
