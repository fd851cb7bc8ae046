"""Vectors taken back through time, where their lengths are known: a cell that multiplies by a known matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.cells import Cell
from recurra.inspection.jacobian_sweep import JacobianSweep
from recurra.inspection.trajectory import CHUNK, Trajectory, trajectories
from recurra.layers.recurrent import Recurrent


class Linear(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        return affine("candidate", h)


def trajectory(weight: torch.Tensor, steps: int, rows: int = 2) -> Trajectory:
    rnn = Recurrent(Linear, 1, len(weight)).double()
    with torch.no_grad():
        rnn.cells[0][0].hidden_weight.copy_(weight)  # type: ignore[operator]
    return trajectories(rnn, torch.zeros(rows, steps, 1, dtype=torch.float64))[0]


def starts(positions: int, probes: int, rows: int, hidden: int) -> torch.Tensor:
    return torch.eye(hidden, dtype=torch.float64)[:probes, None].expand(positions, probes, rows, hidden)


def test_lengths_are_those_of_the_powers_of_the_matrix_over_borders_of_chunks() -> None:
    """Output steps on both sides of a border; each goes back until its lags or the sequence end."""
    weight = torch.randn(3, 3, dtype=torch.float64) / 2
    positions = [1, CHUNK - 1, CHUNK, CHUNK + 4]
    sweep = JacobianSweep(positions, 7, starts(4, 3, 2, 3), -300.0)
    sweep.run(trajectory(weight, CHUNK + 6))
    powers = [float(torch.linalg.matrix_power(weight, lag).norm()) / math.sqrt(3) for lag in range(7)]
    for row, position in enumerate(positions):
        reached = min(position + 1, 7)
        np.testing.assert_allclose(10 ** sweep.logs[row, :reached], powers[:reached], rtol=1e-10)
        assert np.isnan(sweep.logs[row, reached:]).all()
    assert (sweep.errors[~np.isnan(sweep.errors)] == 0).all()


def test_a_gradient_below_the_floor_is_zero_from_the_next_lag_on() -> None:
    sweep = JacobianSweep([5], 6, starts(1, 2, 1, 2), -2.5)
    sweep.run(trajectory(0.1 * torch.eye(2, dtype=torch.float64), 8, rows=1))
    np.testing.assert_allclose(sweep.logs[0, :4], [0, -1, -2, -3], atol=1e-12)
    assert np.isneginf(sweep.logs[0, 4:]).all()


@pytest.mark.parametrize(("probes", "expected"), [(1, 0.5 * math.sqrt(1 - 1 / 4)), (4, 0.0)])
def test_the_error_of_few_probes_is_that_of_drawing_without_replacement(probes: int, expected: float) -> None:
    """One vector shows no spread and counts as exponentially distributed; all of them have no error."""
    sweep = JacobianSweep([3], 3, starts(1, probes, 1, 4), -300.0)
    sweep.run(trajectory(0.7 * torch.eye(4, dtype=torch.float64), 5, rows=1))
    np.testing.assert_allclose(10 ** sweep.logs[0], [1, 0.7, 0.49], rtol=1e-10)
    np.testing.assert_allclose(sweep.errors[0, 1:], expected, atol=1e-12)
