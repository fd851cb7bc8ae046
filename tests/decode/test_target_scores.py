"""The probability of given sequences."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.decode import score_targets
from recurra.errors import ShapeError
from toy_stepper import STOP, toy


def test_equals_the_sum_over_the_table():
    """Ragged targets, an empty one and one that ends without the stop symbol; ended rows leave."""
    model = toy(source_lengths=(4, 1, 3, 2, 5), impossible=0.0, seed=3)
    targets = [(2, 1, STOP), (), (STOP,), (3, 3, 1, 2, STOP), (1, 2)]
    found = score_targets(model, [torch.tensor(ids, dtype=torch.int64) for ids in targets])
    expected = [model.log_prob(source, ids) for source, ids in enumerate(targets)]
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[1] == 0.0
    assert model.rows == [5, 3, 2, 1, 1]


def test_what_has_no_probability_is_minus_infinity():
    model = toy(impossible=0.0)
    model.log_probs[1, model.code((2,)), 1] = -math.inf
    found = score_targets(model, [torch.tensor([2, 1, STOP])] * 3)
    assert found[1] == -math.inf
    assert found[0] == pytest.approx(model.log_prob(0, (2, 1, STOP)))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([torch.tensor([1, 0])], "targets: expected one for each of the 3 sources, got 1"),
        (
            [torch.tensor([1, 0]), torch.tensor([4]), torch.tensor([0])],
            r"from 0 to 3, got \[4\] for source 1",
        ),
        ([torch.tensor([1, 0]), torch.tensor([0]), torch.tensor([0.5])], r"got \[0.5\] for source 2"),
    ],
)
def test_targets_that_do_not_fit_are_refused(targets, message):
    with pytest.raises(ShapeError, match=message):
        score_targets(toy(), targets)


def test_damaged_models_are_refused():
    model = toy()
    model.log_probs[0, 0, 3] = math.nan
    with pytest.raises(ShapeError, match="NaN"):
        score_targets(model, [torch.tensor([1, 0])] * 3)
