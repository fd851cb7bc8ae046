"""Saturation against the gates which Recurrent itself returns."""

from __future__ import annotations

import pytest
import torch

from recurra.cells import CELLS
from recurra.inspection.saturation import clip_rate, saturation
from recurra.inspection.trajectory import CHUNK
from recurra.layers.recurrent import Recurrent


@pytest.mark.parametrize("name", ["lstm", "gru", "layer_norm_lstm", "relu_elman"])
def test_shares_are_those_of_the_gates(name: str) -> None:
    """Two layers, both directions, more steps than a chunk, weights so large that all gates saturate."""
    rnn = Recurrent(CELLS[name], 3, 5, 2, bidirectional=True).eval()
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.mul_(3.0)
        if name == "relu_elman":
            rnn.cells[0][0].hidden_weight.mul_(0.1)  # type: ignore[operator]
    x = torch.randn(2, CHUNK + 9, 3) * (0.0 if name == "relu_elman" else 1.0)
    _, _, gates = rnn(x, return_gates=True)
    found = {(each.layer, each.direction, each.gate): each for each in saturation(rnn, x)}
    bounds = {"sigmoid": (0.05, 0.95), "tanh": (-0.95, 0.95)}
    expected = {}
    for layer, directions in enumerate(gates):
        for direction, values in zip(("forward", "backward"), directions, strict=True):
            for gate, value in values.items():
                kind = rnn.cells[layer][0].program.gate_kinds[gate]  # type: ignore[union-attr, index]
                if kind in bounds:
                    low, high = bounds[kind]
                    expected[layer, direction, gate] = (
                        (value < low).float().mean().item(),
                        (value > high).float().mean().item(),
                    )
    assert found.keys() == expected.keys()
    for key, (low, high) in expected.items():
        assert (found[key].low, found[key].high) == pytest.approx((low, high), abs=1e-6)
    assert name == "relu_elman" or sum(each.share for each in found.values()) > 0.5


def test_clip_rate_weighs_records_by_their_updates() -> None:
    assert clip_rate([{"step": 10, "clip_rate": 1.0}, {"step": 40, "clip_rate": 0.0}]) == pytest.approx(0.25)
    assert clip_rate([{"step": 10}, {"step": 20, "clip_rate": 0.5}]) == pytest.approx(0.5)
    assert clip_rate([]) is None
    assert clip_rate([{"step": 3, "clip_rate": None}]) is None
