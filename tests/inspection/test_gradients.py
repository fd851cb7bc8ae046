"""Gradient flow against torch.autograd.functional.jacobian."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

from jacobians import EveryOperation, norms_by_jacobian, randomised
from recurra.cells import CELLS, Cell
from recurra.errors import ConfigError, ShapeError
from recurra.inspection import gradients, jacobian_sweep
from recurra.inspection.gradient_flow import verdict
from recurra.inspection.gradients import measure
from recurra.layers.recurrent import Recurrent
from recurra.layers.regularisation import Regularisation
from thread_modes import can_flush


@pytest.mark.parametrize("cell", [*CELLS.values(), EveryOperation], ids=lambda cell: cell.__name__)
def test_exact_norms_agree_with_jacobians(cell: type[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell, over a border between chunks and between groups of output steps."""
    monkeypatch.setattr("recurra.inspection.trajectory.CHUNK", 4)
    monkeypatch.setattr(jacobian_sweep, "CHUNK", 4)
    monkeypatch.setattr(gradients, "_GROUP_ELEMENTS", 60)
    rnn = randomised(Recurrent(cell, 2, 3))
    x = torch.randn(2, 7, 2, dtype=torch.float64)
    (flow,) = measure(rnn, x)
    start = rnn.first_state(2).layers[0][0]
    expected = norms_by_jacobian(rnn.cells[0][0], x, tuple(start.values()))
    assert flow.exact
    assert flow.output_steps.tolist() == list(range(7))
    np.testing.assert_allclose(10**flow.log10_norms, expected, rtol=1e-10)
    assert (flow.log10_norms[:, 0] == 0).all()
    np.testing.assert_allclose(10 ** flow.curve()[0], np.nanmean(expected, 0), rtol=1e-10)


def test_upper_and_backward_layers_are_measured_along_their_own_inputs() -> None:
    """Two layers, both directions, learned initial states, residual connections."""
    rnn = randomised(
        Recurrent(CELLS["lstm"], 6, 3, 2, bidirectional=True, initial_state="learned", residual=True)
    )
    x = torch.randn(2, 6, 6, dtype=torch.float64)
    flows = measure(rnn, x)
    assert [flow.name for flow in flows] == ["layer 1", "layer 1 backward", "layer 2", "layer 2 backward"]
    first = rnn.first_state(2).detach()
    below = Recurrent(CELLS["lstm"], 6, 3, bidirectional=True).double()
    below.cells[0] = rnn.cells[0]
    middle = below(x, type(first)(first.layers[:1]))[0].detach()
    for flow, inputs, layer, direction in zip(
        flows, (x, x, middle, middle), (0, 0, 1, 1), (0, 1, 0, 1), strict=True
    ):
        read = inputs.flip(1) if direction else inputs
        states = tuple(first.layers[layer][direction].values())
        expected = norms_by_jacobian(rnn.cells[layer][direction], read, states)
        expected = expected[::-1] if direction else expected
        np.testing.assert_allclose(10**flow.log10_norms, expected, rtol=1e-10)


def test_zoneout_enters_by_its_expectation() -> None:
    rnn = randomised(Recurrent(CELLS["elman"], 2, 3, regularisation=Regularisation(zoneout=0.3)))
    x = torch.randn(1, 3, 2, dtype=torch.float64)
    cell = rnn.cells[0][0]
    assert isinstance(cell, Cell)
    h = rnn(x[:, :2])[0][:, 1].detach()
    expected = jacobian(lambda old: 0.3 * old + 0.7 * cell(x[:, 2], old), h)
    (flow,) = measure(rnn, x)
    assert 10 ** flow.log10_norms[2, 1] == pytest.approx(float(expected.norm()) / math.sqrt(3), rel=1e-10)


@pytest.mark.parametrize("probes", [4, 18])
def test_estimates_deviate_from_the_exact_norms_by_their_standard_errors(probes: int) -> None:
    """18 of 24 orthonormal probes err by half of what 18 independent ones would."""
    rnn = randomised(Recurrent(CELLS["gru"], 3, 24))
    x = torch.randn(3, 12, 3, dtype=torch.float64)
    exact = measure(rnn, x, probes=24)[0].log10_norms
    reached = ~np.isnan(exact)
    reached[:, 0] = False
    deviations, errors = [], []
    for seed in range(6):
        (flow,) = measure(rnn, x, probes=probes, seed=seed)
        assert flow.probes == probes
        assert not flow.exact
        assert f"{probes} random probes" in flow.method
        deviations.append((10 ** (flow.log10_norms - exact) - 1)[reached])
        errors.append(flow.relative_errors[reached])
    ratio = np.sqrt(np.square(deviations).mean() / np.square(errors).mean())
    assert 0.75 < ratio < 1.33


def test_sampled_output_steps_and_lags_are_a_part_of_the_whole() -> None:
    rnn = randomised(Recurrent(CELLS["peephole_lstm"], 2, 4))
    x = torch.randn(2, 20, 2, dtype=torch.float64)
    whole = measure(rnn, x)[0].log10_norms
    (flow,) = measure(rnn, x, output_steps=[3, 11, 19], max_lag=6)
    np.testing.assert_allclose(flow.log10_norms, whole[[3, 11, 19], :7], rtol=1e-9, atol=1e-12)
    (spread,) = measure(rnn, x, output_steps=4)
    assert spread.output_steps.tolist() == [4, 9, 14, 19]


def test_a_lost_gradient_counts_as_zero_however_the_work_is_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn = randomised(Recurrent(CELLS["elman"], 2, 3))
    with torch.no_grad():
        rnn.cells[0][0].hidden_weight.mul_(0.05)  # type: ignore[operator]
    x = torch.randn(1, 40, 2, dtype=torch.float64)
    (flow,) = measure(rnn, x)
    assert np.isneginf(flow.log10_norms[-1, -1])
    assert not np.isnan(flow.log10_norms[-1]).any()
    monkeypatch.setattr(gradients, "_GROUP_ELEMENTS", 1)
    np.testing.assert_allclose(measure(rnn, x)[0].log10_norms, flow.log10_norms, rtol=1e-9, atol=1e-12)


def test_ten_thousand_steps_are_sampled_in_seconds() -> None:
    rnn = Recurrent(CELLS["elman"], 4, 32)
    (flow,) = measure(rnn, torch.randn(1, 10_000, 4), output_steps=8, probes=4)
    assert flow.log10_norms.shape == (8, 10_000)
    assert verdict(flow).kind == "vanishing"


def test_the_default_plan_keeps_the_work_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too dear for every step and exact Jacobians: fewer steps, then probes, and the outputs say so."""
    rnn, x = randomised(Recurrent(CELLS["gru"], 3, 40)), torch.randn(2, 50, 3, dtype=torch.float64)
    monkeypatch.setattr(gradients, "_BUDGET", 1e5)
    (flow,) = measure(rnn, x)
    assert len(flow.output_steps) == 32
    assert flow.output_steps[-1] == 49
    assert flow.probes == 16
    assert flow.method == "estimated from 16 random probes per Jacobian, 32 of 50 output steps"
    assert "standard error" in verdict(flow).text


def test_what_cannot_be_measured_is_refused_in_one_line() -> None:
    rnn = Recurrent(CELLS["elman"], 2, 3)
    x = torch.randn(1, 5, 2)
    for bad, message in (
        (x[0], r"\[batch, time, 2\], .*, got \[5, 2\]"),
        (x[:, :1], "at least 2 steps to look back over, got 1"),
        (x[:, :, :1], r".*, got \[1, 5, 1\]"),
        (x[:0], r".*, got \[0, 5, 2\]"),
    ):
        with pytest.raises(ShapeError, match=f"^x: expected {message}"):
            measure(rnn, bad)
    for arguments, message in (
        ({"probes": 0}, "probes: expected a whole number of at least 1, got 0"),
        ({"max_lag": 0}, "max_lag: expected a whole number of at least 1, got 0"),
        ({"output_steps": [5]}, r"output_steps: .* steps from 0 to 4, got \[5\]"),
        ({"output_steps": 0}, "output_steps: .*, got 0"),
        ({"output_steps": []}, r"output_steps: .*, got \[\]"),
    ):
        with pytest.raises(ConfigError, match=f"^{message}"):
            measure(rnn, x, **arguments)
    relu = Recurrent(CELLS["relu_elman"], 2, 3)
    with torch.no_grad():
        relu.cells[0][0].hidden_weight.fill_(1e4)  # type: ignore[operator]
    with pytest.raises(ShapeError, match=r"exploded.*step"):
        measure(relu, torch.rand(1, 100, 2) + 1)


def test_the_layers_are_left_as_they_are() -> None:
    rnn = Recurrent(CELLS["gru"], 2, 3, stateful=True).train()
    rnn(torch.randn(2, 4, 2))
    carried = rnn._carried
    measure(rnn, torch.randn(1, 5, 2))
    assert rnn.training
    assert rnn._carried is carried
    assert all(parameter.grad is None for parameter in rnn.parameters())


class Fading(Cell):
    gates = ("a",)
    vectors = ("u",)

    def step(self, affine, h):
        return affine("a") + affine.vector("u") * h


@pytest.mark.skipif(not can_flush(), reason="this processor does not flush denormal numbers")
def test_denormal_numbers_are_kept():
    """Kernels that flush them have run before; with them flushed the curve would end sooner."""
    rnn = Recurrent(Fading, 2, 8).eval()
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.normal_()
        rnn.cells[0][0].vector_u.fill_(3e-20)  # whose square is denormal
    x = torch.randn(3, 5, 2)
    rnn(x)[0].sum().backward()

    def at_lag_1() -> float:
        return measure(rnn, x)[0].log10_norms[-1, 1]

    assert at_lag_1() == pytest.approx(math.log10(3e-20), abs=0.01)
    torch.set_flush_denormal(True)
    try:
        assert at_lag_1() == -math.inf
    finally:
        torch.set_flush_denormal(False)
