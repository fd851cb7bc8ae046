"""Scores of hypotheses: log P divided by a length penalty, plus a coverage penalty.

R hypotheses, Tx source length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.decode.config import Penalty

LEAST_COVERAGE = torch.finfo(torch.float32).tiny
"""Coverage below this counts as this: an attention that float32 rounds to 0 keeps the score finite."""


def length_penalty(lengths: Tensor, alpha: float, penalty: Penalty) -> Tensor:
    """What log P is divided by, float64, for hypotheses of these lengths, the stop symbol included.

    `power` is T_y ** alpha; `gnmt` is ((5 + T_y) / 6) ** alpha (Wu et al. 2016, equation 14). Neither falls
    as the length grows, and both are 1 at alpha 0.
    """
    lengths = lengths.double()
    return (lengths if penalty == "power" else (5 + lengths) / 6) ** alpha


def coverage_penalty(coverage: Tensor, source_lengths: Tensor, beta: float) -> Tensor:
    """beta * the sum over source positions of log(min(coverage, 1)) (Wu et al. 2016, equation 14).

    Args:
        coverage: `[R, Tx]`, the attention each source position has had, summed over the target's steps.
        source_lengths: `[R]`; positions from there on are padding and do not count.
        beta: at least 0.

    Returns:
        `[R]`, at most 0.
    """
    real = torch.arange(coverage.shape[1], device=coverage.device) < source_lengths[:, None]
    covered = coverage.clamp(LEAST_COVERAGE, 1.0).log()
    return beta * covered.where(real, 0.0).sum(1)
