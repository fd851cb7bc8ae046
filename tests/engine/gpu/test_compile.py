"""Kernels compiled to machine code for a GPU that the machine need not have."""

from __future__ import annotations

import math

import pytest
import torch

from recurra import Cell
from recurra.cells import CELLS


@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("cell", ["gru", "layer_norm_lstm"])
def test_no_register_spills(cell, backwards):
    """At a width of 512, on compute capability 9.0."""
    pytest.importorskip("triton", reason="there is no Triton here (it comes for Linux)")
    from recurra.engine.gpu.build import Kernel
    from recurra.engine.gpu.compile import compiled

    usage = compiled(Kernel(CELLS[cell](512, 512).program), backwards, torch.float32)
    assert usage.spilled == 0
    assert 0 < usage.registers <= 255
    assert usage.shared <= 227 * 1024


class Numbers(Cell):
    """Infinities, NaN and powers of numbers, all of which Triton has to read."""

    def step(self, affine, h):
        bounded = torch.where(h > 0, torch.where(h < 2, h, math.inf), -math.inf).clamp(-1, math.inf)
        return bounded + (-2.0) ** h + torch.where(h > 0, torch.where(h > 1, math.nan, 0.0), h**h) - h**-1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backwards", [False, True], ids=["forward", "backward"])
def test_infinities_and_nan_are_compiled(backwards, dtype):
    pytest.importorskip("triton", reason="there is no Triton here (it comes for Linux)")
    from recurra.engine.gpu.build import Kernel
    from recurra.engine.gpu.compile import compiled

    assert compiled(Kernel(Numbers(1, 1).program), backwards, dtype).registers > 0
