"""Gradient flow as tables: every reached output step and lag, or as many as are written."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.inspection.gradient_flow import GradientFlow
from recurra.inspection.gradient_tables import curve_table, map_table


def flow(direction: str, logs: np.ndarray, steps: list[int]) -> GradientFlow:
    return GradientFlow(1, direction, 4, 3, 9, np.array(steps), logs, np.full_like(logs, 0.125))


@pytest.mark.parametrize(("direction", "states"), [("forward", [3, 2, 5, 4]), ("backward", [3, 4, 5, 6])])
def test_the_map_names_output_and_state_steps(direction: str, states: list[int]) -> None:
    logs = np.array([[0.0, -1.0, np.nan], [0.0, -np.inf, np.nan]])
    columns, rows = map_table([flow(direction, logs, [3, 5])])
    assert columns[:5] == ("layer", "direction", "output_step", "state_step", "lag")
    assert [row[:5] for row in rows] == [
        (2, direction, output, state, lag)
        for output, state, lag in zip([3, 3, 5, 5], states, [0, 1, 0, 1], strict=True)
    ]
    assert [row[5:] for row in rows] == [
        ("1", "0", "0.125", "3 probes"),
        ("0.1", "-1", "0.125", "3 probes"),
        ("1", "0", "0.125", "3 probes"),
        ("0", "-inf", "0.125", "3 probes"),
    ]


def test_of_many_lags_the_map_has_a_few_ever_wider_apart_and_the_curve_all() -> None:
    many = flow("forward", np.zeros((1, 5000)), [4999])
    lags = [row[4] for row in map_table([many])[1]]
    assert lags[:3] == [0, 1, 2]
    assert lags[-1] == 4999
    assert len(lags) <= 256
    assert (np.diff(lags, 2) >= -1).all()
    rows = curve_table([many])[1]
    assert [row[2] for row in rows] == list(range(5000))
    assert rows[7][6] == 1
