"""How far gradients reach back, in words and as a mean curve."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recurra.cells import Cell
from recurra.inspection.gradient_flow import GradientFlow, Verdict, layer_name, verdict
from recurra.inspection.gradients import measure
from recurra.layers.recurrent import Recurrent


def test_vanishing_and_exploding_are_named_with_their_lag() -> None:
    """A linear cell multiplies by a known number at each step, so that the lags are known."""

    class Linear(Cell):
        gates = ("candidate",)

        def step(self, affine, h):
            return affine("candidate", h)

    def verdict_of(factor: float, steps: int) -> Verdict:
        rnn = Recurrent(Linear, 1, 4)
        with torch.no_grad():
            rnn.cells[0][0].hidden_weight.copy_(factor * torch.eye(4))  # type: ignore[operator]
        return verdict(measure(rnn, torch.randn(1, steps, 1))[0])

    assert (verdict_of(0.5, 40).kind, verdict_of(0.5, 40).lag) == ("vanishing", 7)  # 0.5 ** 7 < 0.01
    assert (verdict_of(1.5, 40).kind, verdict_of(1.5, 40).lag) == ("exploding", 12)  # 1.5 ** 12 > 100
    assert (verdict_of(0.95, 40).kind, verdict_of(0.95, 40).lag) == ("holding", None)
    assert "the effective memory" in verdict_of(0.0, 5).text
    assert verdict_of(0.0, 5).lag == 1
    assert "e+" in verdict_of(30.0, 25).text


def test_the_mean_curve_neither_overflows_nor_counts_what_was_not_reached() -> None:
    logs = np.array([[0.0, 400.0, np.nan], [0.0, 400.0, -500.0]])
    flow = GradientFlow(0, "forward", 4, 2, 3, np.array([1, 2]), logs, np.full_like(logs, 0.1))
    curve, errors, counts = flow.curve()
    np.testing.assert_allclose(curve, [0, 400, -500])
    np.testing.assert_allclose(errors, [0.1 / math.sqrt(2), 0.1 / math.sqrt(2), 0.1])
    assert counts.tolist() == [2, 2, 1]


@pytest.mark.parametrize(
    ("part", "direction", "expected"),
    [
        ("", "forward", "layer 2"),
        ("", "backward", "layer 2 backward"),
        ("encoder", "backward", "encoder layer 2 backward"),
    ],
)
def test_a_layer_is_named_as_people_name_it(part: str, direction: str, expected: str) -> None:
    assert layer_name(part, 1, direction) == expected
    flow = GradientFlow(
        1,
        direction,
        4,
        2,
        9,
        np.array([8]),
        np.zeros((1, 2)),
        np.full((1, 2), 0.25),
        part=part,
        rows="3 rows",
    )
    assert verdict(flow).text.startswith(f"{expected}: holding; ")
    assert "standard error ±25 %" in verdict(flow).text
    assert flow.method == "estimated from 2 random probes per Jacobian, 1 of 9 output steps, 3 rows"
