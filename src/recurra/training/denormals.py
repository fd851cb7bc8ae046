"""Flushing denormal numbers to 0 while a model is trained.

The gradients of a saturated network, and Adam's averages for weights that get no gradient any more, become denormal
numbers: below 1.2e-38 in float32, 2.2e-308 in float64. They are too small to change a weight, and many processors
compute with them a hundred times more slowly. A processor can flush them, both operands and results; that is a mode of
each of its threads. `torch.set_flush_denormal` sets it for the calling thread only: the threads among which torch
divides its work do not follow, and a thread that is started while the mode is on keeps it. So each is set, and restored
to what it was.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from recurra.engine.cpu.kernel import can_split, in_threads

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)


def is_flushing() -> bool:
    """Whether this thread flushes denormal numbers to 0. (PyTorch can set that, but not tell.)"""
    return sys.float_info.min / 2 == 0.0


class FlushDenormals:
    """While it is entered, this thread and those among which torch divides its work flush denormal numbers to 0.

    On a processor that cannot do that it does nothing. Where torch's threads are not OpenMP's, and on Windows, it sets
    the calling thread only. It can be entered again once it has been left.

        with FlushDenormals() as flush:
            train()
            with flush.suspended():
                evaluate()
    """

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> FlushDenormals:
        threads = torch.get_num_threads()
        reached = threads if can_split(threads) and sys.platform != "win32" else 1
        self._before = _exchange([True] * reached)
        return self

    def __exit__(self, *exception: object) -> None:
        _exchange(self._before)

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Inside the flushing block: every thread has the mode that it had before that."""
        inside = _exchange(self._before)
        try:
            yield
        finally:
            _exchange(inside)


def _exchange(flush: Sequence[bool]) -> list[bool]:
    """Set the mode of so many of torch's threads, this one first, and return what it was in each."""
    before = [False] * len(flush)

    def set_own(begin: int, end: int, _: object) -> None:
        before[begin:end] = [is_flushing()] * (end - begin)
        torch.set_flush_denormal(flush[begin])

    in_threads(_FUNCTION(set_own), ctypes.c_int64(), len(flush))
    return before
