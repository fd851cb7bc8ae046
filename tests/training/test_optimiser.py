"""Optimisers against their unfused forms, weight decay by shape, and clipping."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from recurra.training.optimiser import (
    build_optimiser,
    clip_by_norm_,
    clip_by_value_,
    gradient_norm,
)
from recurra.training.optimiser_config import OptimiserConfig


def model_with_gradients(dtype: torch.dtype = torch.float32) -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Embedding(3, 11)).to(dtype)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
        parameter.grad = torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("config", "plain"),
    [
        (OptimiserConfig("adam", 0.01, 0.1, betas=(0.8, 0.95)), torch.optim.Adam),
        (OptimiserConfig("adamw", 0.01, 0.1, betas=(0.8, 0.95)), torch.optim.AdamW),
        (OptimiserConfig("sgd", 0.01, 0.1, momentum=0.7), torch.optim.SGD),
    ],
)
def test_fused_steps_equal_the_plain_ones(config, plain, dtype):
    model = model_with_gradients(dtype)
    other = copy.deepcopy(model)
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        theirs.grad = mine.grad.clone()
    optimiser = build_optimiser(model, config)
    assert all(group["fused"] for group in optimiser.param_groups)
    options = {"momentum": 0.7} if config.name == "sgd" else {"betas": (0.8, 0.95)}
    groups = [
        {"params": [p for p in other.parameters() if p.dim() == 2], "weight_decay": 0.1},
        {"params": [p for p in other.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    reference = plain(groups, lr=0.01, foreach=False, **options)
    for _ in range(3):
        optimiser.step()
        reference.step()
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_matrices_decay_and_vectors_do_not():
    model = model_with_gradients()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.grad.zero_()
    build_optimiser(model, OptimiserConfig("adamw", 0.1, 0.5)).step()
    for old, new in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(new, old * (0.95 if old.dim() == 2 else 1.0))


def test_frozen_parameters_are_left_out():
    model = model_with_gradients()
    model[0].weight.requires_grad_(False)
    groups = build_optimiser(model, OptimiserConfig()).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters())) - 1


def test_norm_and_clipping_by_norm_are_torchs():
    model, other = model_with_gradients(), model_with_gradients()
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        theirs.grad = mine.grad.clone()
    parameters = list(model.parameters())
    norm = gradient_norm(parameters)
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(other.parameters(), 1.0))
    assert not clip_by_norm_(parameters, float(norm), float(norm) + 1.0)
    before = [parameter.grad.clone() for parameter in parameters]
    assert clip_by_norm_(parameters, float(norm), 1.0)
    torch.testing.assert_close(gradient_norm(parameters), torch.tensor(1.0))
    for old, mine, theirs in zip(before, parameters, other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
        torch.testing.assert_close(mine.grad * float(norm), old)  # the direction is unchanged


def test_clipping_by_value():
    parameters = list(model_with_gradients().parameters())
    parameters.append(nn.Parameter(torch.zeros(2)))  # without a gradient
    before = [parameter.grad.clone() for parameter in parameters[:-1]]
    peak = max(float(gradient.abs().max()) for gradient in before)
    assert not clip_by_value_(parameters, peak)
    assert clip_by_value_(parameters, 0.3)
    for old, parameter in zip(before, parameters, strict=False):
        assert torch.equal(parameter.grad, old.clamp(-0.3, 0.3))


def test_norm_without_gradients_is_zero():
    assert float(gradient_norm([nn.Parameter(torch.ones(3))])) == 0.0
