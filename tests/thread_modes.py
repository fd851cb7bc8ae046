"""Which of torch's threads take denormal numbers for 0, as seen in what they compute."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

SHARE = 1 << 16  # numbers that a thread is given: more than PyTorch leaves in one piece


@contextmanager
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def flushing() -> list[bool]:
    """By thread, the calling one first and as Python computes in it too."""
    number = torch.get_num_threads()
    products = torch.full((number * SHARE,), 2.0**-120) * 2.0**-10
    # As whole numbers: where they are denormal, one that compares them may take them for 0 as well.
    zeros = (products.view(torch.int32) == 0).view(number, SHARE)
    assert (zeros.all(1) == zeros.any(1)).all(), "a thread's share is not what was thought"
    assert zeros[0].all().item() == (sys.float_info.min / 2 == 0.0)
    return zeros.all(1).tolist()


def can_flush() -> bool:
    """Whether this processor can."""
    before = flushing()[0]
    can = torch.set_flush_denormal(True)
    torch.set_flush_denormal(before)
    return can
