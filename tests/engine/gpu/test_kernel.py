"""The gpu backend where there is no GPU: in Triton's interpreter, against the reference."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cases

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="there is no Triton here (it comes for Linux)"
)

SCRIPT = Path(__file__).parent / "interpreted.py"
TESTS = Path(cases.__file__).parent
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
FUNCTIONS = {"tanh": 1e-12, "pow": 1e-13}


@pytest.fixture(scope="module")
def interpreted():
    """What the script prints; it runs once for all tests of this file."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", [*cases.ALL_CELLS, *EXTRA])
def test_agrees_with_the_reference(interpreted, case):
    """Outputs, final states and every gradient; ragged rows, one of them empty, and a non-zero start."""
    tolerance = 1e-5 if case.startswith("float32") else 1e-12
    found = interpreted["cases"][case]
    assert not {name: value for name, value in found.items() if value > tolerance}


def test_every_case_is_looked_at(interpreted):
    assert set(interpreted["cases"]) == {*cases.ALL_CELLS, *EXTRA}


def test_functions_are_pytorchs(interpreted):
    """Over the whole line, infinities and NaN included."""
    found = interpreted["functions"]
    assert not {name: error for name, error in found.items() if not error <= FUNCTIONS.get(name, 1e-15)}


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
