"""One step of a layer, with gradients and without, on every backend."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import BackendError, ConfigError, Regularisation
from recurra.engine.cpu import build
from recurra.engine.steps import one_step, unrolled_step

INPUT, HIDDEN, BATCH = 3, 5, 4
BACKENDS = ("auto", "reference", "textbook", "vendor", *(("cpu",) if build.compiler() else ()))


def layer_of(name="lstm", dtype=torch.float64, **options):
    return cases.recurrent(name, INPUT, HIDDEN, dtype, **options).layer(0)


def given(layer):
    dtype = layer.like.dtype
    states = tuple(torch.randn(BATCH, HIDDEN, dtype=dtype) for _ in layer.program.states)
    return torch.randn(BATCH, INPUT, dtype=dtype), states


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("with_gradients", [False, True])
def test_a_step_is_the_cells(backend, with_gradients):
    layer = layer_of()
    x, states = given(layer)
    if with_gradients:
        x.requires_grad_()
        step = unrolled_step(layer, backend)
        new = step(x, states, {})
    else:
        new = one_step(layer, None, backend)(x, states)
    expected = layer.cell(x, states)
    assert len(new) == 2
    for ours, theirs in zip(new, expected, strict=True):
        assert ours.requires_grad == with_gradients
        assert cases.difference(ours, theirs) < 1e-12
    if with_gradients:
        leaves = [x, *layer.cell.parameters()]
        ours, theirs = (torch.autograd.grad(h.sum() + c.square().sum(), leaves) for h, c in (new, expected))
        assert all(cases.difference(a, b) < 1e-12 for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_rows(backend):
    layer = layer_of()
    states = tuple(torch.zeros(0, HIDDEN).double() for _ in range(2))
    for new in (
        one_step(layer, None, backend)(torch.zeros(0, INPUT).double(), states),
        unrolled_step(layer, backend)(torch.zeros(0, INPUT).double(), states, {}),
    ):
        assert [value.shape for value in new] == [(0, HIDDEN)] * 2


@pytest.mark.parametrize("backend", [one for one in BACKENDS if one not in ("textbook", "vendor")])
def test_masks_of_a_step_are_selected_by(backend):
    rnn = cases.recurrent("gru", INPUT, HIDDEN, regularisation=Regularisation(zoneout=0.3)).train()
    layer = rnn.layer(0)
    x, (h,) = given(layer)
    (name,) = layer.program.masks
    kept = torch.rand(BATCH, HIDDEN) < 0.5
    (new,) = unrolled_step(layer, backend)(x, (h,), {name: kept})
    assert torch.equal(new[kept], h[kept])
    assert cases.difference(new, torch.where(kept, h, layer.cell(x, h))) < 1e-12


def test_the_cells_mode_is_restored():
    layer = layer_of()
    layer.cell.train()
    one_step(layer, None, "textbook")(*given(layer))
    assert layer.cell.training


def test_what_cannot_run_is_refused():
    with pytest.raises(BackendError, match="backend: expected one of"):
        one_step(layer_of(), None, "refrence")
    with pytest.raises(ConfigError, match="weights: expected one of"):
        one_step(layer_of(), "int4", "auto")
    with pytest.raises(BackendError, match="'textbook' cannot run with weights='int8'"):
        one_step(layer_of(dtype=torch.float32), "int8", "textbook")
    with pytest.raises(BackendError, match="PyTorch has kernels for"):
        unrolled_step(layer_of("gru"), "vendor")
