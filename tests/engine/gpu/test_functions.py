"""The functions that generated kernels use, in Triton's interpreter, against PyTorch's."""

from __future__ import annotations

import importlib.util

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="there is no Triton here (it comes for Linux)"
)

TOLERANCE = {"tanh": 1e-12, "pow": 1e-13}


def test_functions_are_pytorchs(run_interpreted):
    """Over the whole line, infinities and NaN included."""
    errors = run_interpreted("functions")
    assert set(errors) == {"sigmoid", "tanh", "softplus", "pow", "maximum", "minimum", "relu"}
    assert not {name: error for name, error in errors.items() if not error <= TOLERANCE.get(name, 1e-15)}
