"""Length and coverage penalties, by hand (Wu et al. 2016, equation 14)."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.decode.scores import LEAST_COVERAGE, coverage_penalty, length_penalty


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_length_penalties(alpha):
    lengths = torch.tensor([1, 2, 13])
    power, gnmt = (length_penalty(lengths, alpha, kind).tolist() for kind in ("power", "gnmt"))
    assert power == pytest.approx([1.0, 2**alpha, 13**alpha])
    assert gnmt == pytest.approx([1.0, (7 / 6) ** alpha, 3**alpha])


def test_coverage_penalty_counts_real_positions_up_to_one():
    coverage = torch.tensor([[0.5, 1.7, 0.25, 0.0], [0.1, 0.9, 0.0, 0.0]], dtype=torch.float64)
    penalty = coverage_penalty(coverage, torch.tensor([3, 2]), 0.4).tolist()
    assert penalty == pytest.approx([0.4 * (math.log(0.5) + math.log(0.25)), 0.4 * math.log(0.1 * 0.9)])


def test_a_source_position_without_any_attention_keeps_the_score_finite():
    penalty = coverage_penalty(torch.zeros(1, 2).double(), torch.tensor([2]), 1.0)
    assert penalty.item() == pytest.approx(2 * math.log(LEAST_COVERAGE))
