"""From source to Triton's functions, and blocks that registers hold."""

from __future__ import annotations

import inspect
import linecache

import pytest
import torch

pytest.importorskip("triton", reason="there is no Triton here (it comes for Linux)")

import cases
from recurra.cells import CELLS
from recurra.engine.gpu.build import MOST_SUMS, MOST_WORK, WORK, Kernel


@pytest.mark.parametrize("name", ["gru", "layer_norm_lstm"])
def test_both_directions_are_functions_whose_source_python_still_has(name):
    kernel = Kernel(CELLS[name](3, 5).program)
    for function, direction in ((kernel.forward, "forward"), (kernel.backward, "backward")):
        assert function.__name__ == direction
        lines, first = inspect.getsourcelines(function.fn)
        assert kernel.source.splitlines(keepends=True)[first - 1 : first - 1 + len(lines)] == lines
    linecache.checkcache()  # what has no file stays
    assert inspect.getsource(kernel.forward.fn)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("cell", [CELLS["lstm"], CELLS["elman"], CELLS["slstm"], cases.Everything])
def test_blocks_are_as_wide_as_registers_allow(cell, backwards, dtype):
    kernel = Kernel(cell(3, 5).program)
    constants = kernel.constants(dtype, backwards, "ieee", save=True)
    one = kernel.plan.backward if backwards else kernel.plan.forward
    work = sum(WORK.get(one.nodes[index].op, 1) for stage in one.stages for index in stage.body)
    widest = 64 if dtype == torch.float32 else 32
    for number, stage in enumerate(one.stages):
        units = constants[f"UNITS{number}"]
        assert units in (16, 32, 64)
        assert units <= widest
        load = max(units * len(stage.sums) / MOST_SUMS, units * work / MOST_WORK)
        assert units == 16 or load <= 1
        assert units == widest or 2 * load > 1  # the next size would not fit
    assert ("SAVE" in constants) is not backwards
    assert set(constants) >= {"ROWS", "INNER", "PRECISION"}
    function = kernel.backward if backwards else kernel.forward
    assert set(constants) <= set(function.arg_names)


def test_products_in_tf32_take_wider_pieces():
    kernel = Kernel(CELLS["gru"](3, 5).program)
    inner = [kernel.constants(torch.float32, False, one, save=False)["INNER"] for one in ("ieee", "tf32")]
    assert inner == [8, 16]
