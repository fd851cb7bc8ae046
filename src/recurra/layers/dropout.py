"""Dropout: on the CPU four entries of a mask are drawn at a time, since PyTorch's drawing of each takes longer.

There a rate is rounded to a multiple of 2⁻¹⁶.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 1 << 16


def dropout(x: Tensor, rate: float, training: bool = True) -> Tensor:
    """`x` with each entry 0 with probability `rate`, otherwise divided by 1 - rate (Srivastava 2014).

    Args:
        x: of any shape.
        rate: in [0, 1).
        training: otherwise `x` itself comes back.
    """
    if not training or not rate:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return functional.dropout(x, rate)
    return x * dropout_mask(x, x.shape, rate)


def dropout_mask(like: Tensor, shape: torch.Size | tuple[int, ...], rate: float) -> Tensor:
    """0 with probability `rate`, 1 / (1 - rate) otherwise.

    Args:
        like: a tensor of the mask's device and type.
        shape: of the mask.
        rate: in (0, 1).
    """
    if like.device.type != "cpu":
        return like.new_empty(shape).bernoulli_(1.0 - rate).div_(1.0 - rate)
    if torch.compiler.is_compiling():  # which sees no in-place drawing
        kept = torch.rand(shape, device=like.device) >= rate
        return kept.to(like.dtype) / (1.0 - rate)
    count = torch.Size(shape).numel()
    words = torch.empty(-(-count // 4), dtype=torch.int64, device="cpu").random_(-(2**63), None)
    dropped = min(max(round(rate * LEVELS), 1), LEVELS - 1) - LEVELS // 2
    kept = words.view(torch.int16)[:count] >= dropped
    return (kept * torch.tensor(1.0 / (1.0 - rate), dtype=like.dtype, device="cpu")).view(shape)
