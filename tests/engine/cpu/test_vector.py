"""The functions of vector.h against numpy's in a wider type."""

from __future__ import annotations

import ctypes
from importlib.resources import files

import numpy as np
import pytest

from recurra.engine.cpu import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")

FUNCTIONS = {
    "exp": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 30)))),
    "sqrt": np.sqrt,
    "log": np.log,
}
POSITIVE = ("sqrt", "log")
ULPS = 4


def source(real: str) -> str:
    shape = build.machine(double=real == "double")
    header = files("recurra.engine.cpu").joinpath("vector.h").read_text(encoding="utf-8")
    lines = [
        f"#define REAL {real}",
        f"#define VECTOR_BYTES {shape.vector_bytes}",
        "#define NORM_EPSILON 1e-5",
        header,
    ]
    for name in FUNCTIONS:
        lines.append(
            f'extern "C" void test_{name}(real* data, int64_t count) {{\n'
            "  for (int64_t i = 0; i < count; i += LANES) {\n"
            "    const vec x = load<true>(data + i, count - i);\n"
            f"    store<true>(data + i, v_{name}(x), count - i);\n  }}\n}}"
        )
    return "\n".join(lines)


def apply(name: str, x: np.ndarray) -> np.ndarray:
    library = build.library(source("double" if x.dtype == np.float64 else "float"))
    found = x.copy()
    getattr(library, f"test_{name}")(ctypes.c_void_p(found.ctypes.data), ctypes.c_int64(len(found)))
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_four_units_in_the_last_place(name, dtype):
    generator = np.random.default_rng(1)
    small = generator.normal(size=20_000) * 10.0 ** generator.uniform(-8, 0, 20_000)
    wide = generator.uniform(-80, 80, 20_000)
    corners = np.array([0.0, -0.0, 1.0, -1.0, 20.0, -20.0, 0.34657, -0.34657, 9.1, -9.1])
    x = np.concatenate([small, wide, corners]).astype(dtype)
    if name in POSITIVE:
        near_1 = 1 + generator.normal(size=20_000) * 10.0 ** generator.uniform(-8, -1, 20_000)
        bits = generator.integers(1, int(np.array(np.inf, dtype).view(f"i{dtype().itemsize}")), 20_000)
        any_size = bits.astype(f"i{dtype().itemsize}").view(
            dtype
        )  # numbers that are less than normal among them
        x = np.concatenate([np.abs(x[x != 0]), near_1.astype(dtype), any_size])
    expected = FUNCTIONS[name](x.astype(np.longdouble))
    error = np.abs(apply(name, x) - expected) / np.spacing(np.abs(expected).astype(dtype))
    assert error.max() <= ULPS, x[error.argmax()]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_over_its_whole_range(dtype):
    """Wherever the result is a normal number; beyond, 0 or infinity, and between them what is less than normal."""
    smallest, largest = np.log(np.finfo(dtype).tiny.astype(np.longdouble)), np.log(np.finfo(dtype).max)
    x = np.linspace(float(smallest) + 1e-4, float(largest) - 1e-4, 50_001).astype(dtype)
    expected = np.exp(x.astype(np.longdouble))
    error = np.abs(apply("exp", x) - expected) / np.spacing(expected.astype(dtype))
    assert error.max() <= ULPS, x[error.argmax()]
    beyond = np.linspace(float(largest) + 0.01, float(largest) + 100, 1001).astype(dtype)
    assert np.isposinf(apply("exp", beyond)).all()
    lowest = np.linspace(float(smallest) - 80, float(smallest), 1001).astype(dtype)
    assert (np.abs(apply("exp", lowest) - np.exp(lowest)) <= np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_and_not_a_number(dtype):
    x = np.array([-np.inf, -1e4, 1e4, np.inf, np.nan], dtype)
    assert apply("exp", x).tolist()[:4] == [0.0, 0.0, np.inf, np.inf]
    assert apply("tanh", x).tolist()[:4] == [-1.0, -1.0, 1.0, 1.0]
    assert apply("softplus", x).tolist()[:4] == [0.0, 0.0, 1e4, np.inf]
    assert apply("log", np.array([0.0, -0.0, np.inf, 1.0], dtype)).tolist() == [-np.inf, -np.inf, np.inf, 0.0]
    assert np.isnan(apply("log", np.array([-1.0, -1e-30, -np.inf], dtype))).all()
    assert np.isnan(apply("sqrt", np.array([-1.0, -np.inf], dtype))).all()
    assert apply("sqrt", np.array([0.0, np.inf], dtype)).tolist() == [0.0, np.inf]
    found = apply("sigmoid", x)
    assert found[0] < 1e-37
    assert found[3] == 1.0
    for name in FUNCTIONS:
        assert np.isnan(apply(name, x)[4]), name
