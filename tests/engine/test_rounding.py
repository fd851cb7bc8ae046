"""Weights with fewer bits: what values they have."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import ConfigError
from recurra.cells import CELLS
from recurra.engine.rounding import LARGEST, WEIGHTS, check_weights, rounded, whole_numbers

INPUT, HIDDEN = 7, 11


def drawn(name="gru_reset_after"):
    cell = CELLS[name](INPUT, HIDDEN)
    cases.randomise(cell)
    return cell


@pytest.mark.parametrize("name", ["gru_reset_after", "layer_norm_lstm", "min_gru"])
def test_a_units_weights_of_a_gate_share_their_scale(name):
    cell = drawn(name)
    whole, scales = whole_numbers(cell.program, cell.named_tensors(), HIDDEN)
    assert all(values.dtype == torch.int8 for values in whole.values())
    for gate in cell.gates:
        matrices = [one for one in ("input_weight", "hidden_weight") if (one, gate) in cell._first_rows]
        exact = torch.cat([cell.rows(one, gate) for one in matrices if one in whole], 1)
        held = torch.cat([cell._rows_of(whole[one], one, gate) for one in matrices if one in whole], 1)
        assert (held.abs().amax(1) == LARGEST).all()
        error = (held * scales[gate][:, None] - exact).abs()
        assert (error <= 0.5001 * scales[gate][:, None]).all()
        assert error.max() > 0


def test_rows_of_zeros_stay_zeros():
    cell = drawn()
    with torch.no_grad():
        for name in ("input_weight", "hidden_weight"):
            cell.rows(name, "reset")[3] = 0
    values = rounded(cell.program, cell.named_tensors(), HIDDEN, "int8")
    assert not values["input_weight"][3].any()
    assert values["hidden_weight"].isfinite().all()


@pytest.mark.parametrize(("weights", "bound"), [("bfloat16", 2**-8), ("int8", 0.02), (None, 0.0)])
def test_only_matrices_are_rounded_and_the_parameters_stay(weights, bound):
    cell = drawn()
    before = {name: value.clone() for name, value in cell.named_tensors().items()}
    values = rounded(cell.program, cell.named_tensors(), HIDDEN, weights)
    for name, value in values.items():
        assert value.dtype == torch.float32
        difference = cases.difference(value, before[name])
        assert difference <= (bound if value.ndim == 2 else 0.0)
        assert weights is None or value.ndim == 1 or difference > 0
        assert torch.equal(cell.named_tensors()[name], before[name])


def test_what_may_be_asked_for():
    assert check_weights(None, torch.float64) is None
    assert check_weights("float32", torch.float32) is None
    assert [check_weights(one, torch.float32) for one in WEIGHTS[1:]] == list(WEIGHTS[1:])
    with pytest.raises(ConfigError, match=r"weights: expected one of .*, got 'bflaot16'.*'bfloat16'\?"):
        check_weights("bflaot16", torch.float32)
    with pytest.raises(ConfigError, match=r"made from float32 parameters, and these are torch\.float64"):
        check_weights("int8", torch.float64)
