"""The gpu backend where there is no GPU: in Triton's interpreter, against the reference."""

from __future__ import annotations

import importlib.util

import pytest
import torch

import cases

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="there is no Triton here (it comes for Linux)"
)

EXTRA = (
    "everything",
    "whole vectors",
    "the final memory alone",
    "no input",
    "no product",
    "new states as operands",
    "new states as operands, masks",
    "float32, every row whole",
    "float32, two blocks and two programs",
    "masks, gru_reset_after",
    "masks, layer_norm_lstm",
)


@pytest.fixture(scope="module")
def interpreted(run_interpreted):
    """What the script prints; it runs once for all tests of this file."""
    return run_interpreted("kernels")


@pytest.mark.parametrize("case", [*cases.ALL_CELLS, *EXTRA])
def test_agrees_with_the_reference(interpreted, case):
    """Outputs, final states and every gradient; ragged rows, one of them empty, and a non-zero start."""
    tolerance = 1e-5 if case.startswith("float32") else 1e-12
    found = interpreted["cases"][case]
    assert not {name: value for name, value in found.items() if value > tolerance}


def test_every_case_is_looked_at(interpreted):
    assert set(interpreted["cases"]) == {*cases.ALL_CELLS, *EXTRA}


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.float64"])
def test_special_values_are_pytorchs(interpreted, dtype):
    """Of every operation and its derivative: ties, kinks, infinities and NaN."""
    assert interpreted["special values"][dtype] == []


def test_the_interpreter_is_for_those_who_name_the_backend(interpreted):
    assert interpreted["choices"]["refused"] is None
    assert interpreted["choices"]["auto"] != "gpu"


def test_second_derivatives_are_refused(interpreted):
    assert "use backend='reference'" in interpreted["second derivative"]


def test_one_step_at_a_time(interpreted):
    """The backend has no kernel of a single step, and runs a sequence of length one."""
    assert set(interpreted["steps"]) == {"stream", "loop", "gradients", "masks"}
    assert not {name: error for name, error in interpreted["steps"].items() if error > 1e-12}


def test_products_are_rounded_as_pytorchs_own():
    from recurra.engine.gpu.kernel import precision

    before = torch.backends.cuda.matmul.fp32_precision
    assert precision(torch.float32) == "ieee"
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        assert (precision(torch.float32), precision(torch.float64)) == ("tf32", "ieee")
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
