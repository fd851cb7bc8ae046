"""The functions of vector.h against numpy's in a wider type."""

from __future__ import annotations

import ctypes
from importlib.resources import files
from itertools import product

import numpy as np
import pytest

from recurra.engine.cpu import build
from thread_modes import can_flush

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
    """Each function as it is, and as the kernels use it, where denormal numbers are 0."""
    shape = build.machine(double=real == "double")
    headers = files("recurra.engine.cpu")
    lines = [
        f"#define REAL {real}",
        f"#define VECTOR_BYTES {shape.vector_bytes}",
        "#define NORM_EPSILON 1e-5",
        *(headers.joinpath(name).read_text(encoding="utf-8") for name in ("vector.h", "denormals.h")),
        "INLINE vec v_half_power(vec x) { return v_pow(x, splat(real(0.5))); }",
    ]
    for name, flush in product([*FUNCTIONS, "half_power"], [False, True]):
        lines.append(
            f'extern "C" void {"flushed" if flush else "test"}_{name}(real* data, int64_t count) {{\n'
            f"  {'const FlushDenormals flush;' if flush else ''}\n"
            "  for (int64_t i = 0; i < count; i += LANES) {\n"
            "    const vec x = load<true>(data + i, count - i);\n"
            f"    store<true>(data + i, v_{name}(x), count - i);\n  }}\n}}"
        )
    return "\n".join(lines)


def apply(name: str, x: np.ndarray, flush: bool = False) -> np.ndarray:
    library = build.library(source("double" if x.dtype == np.float64 else "float"))
    found = x.copy()
    function = getattr(library, f"{'flushed' if flush else 'test'}_{name}")
    function(ctypes.c_void_p(found.ctypes.data), ctypes.c_int64(len(found)))
    return found


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_four_units_in_the_last_place(name, dtype, flush):
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
    if flush:
        x = x[(x == 0) | (np.abs(x) >= np.finfo(dtype).tiny)]
    expected = FUNCTIONS[name](x.astype(np.longdouble))
    error = np.abs(apply(name, x, flush) - expected) / np.spacing(np.abs(expected).astype(dtype))
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
def test_sigmoid_down_to_the_smallest_number(dtype):
    """Where it is a normal number; what is less may be 0, as PyTorch's is where e^-x is infinite."""
    smallest = float(np.log(np.finfo(dtype).tiny))
    x = np.linspace(smallest + 1e-3, smallest / 2, 50_001).astype(dtype)
    expected = 1 / (1 + np.exp(-x.astype(np.longdouble)))
    error = np.abs(apply("sigmoid", x) - expected) / np.spacing(expected.astype(dtype))
    assert error.max() <= ULPS, x[error.argmax()]
    below = np.linspace(smallest - 30, smallest, 1001).astype(dtype)
    assert (np.abs(apply("sigmoid", below) - np.exp(below)) <= 1.01 * np.finfo(dtype).tiny).all()


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
    assert apply("sigmoid", x).tolist()[:4] == [0.0, 0.0, 1.0, 1.0]
    assert np.signbit(apply("tanh", np.array([0.0, -0.0], dtype))).tolist() == [False, True]
    assert np.signbit(apply("sqrt", np.array([0.0, -0.0], dtype))).tolist() == [False, True]
    for name in FUNCTIONS:
        assert np.isnan(apply(name, x)[4]), name


@pytest.mark.skipif(not can_flush(), reason="this processor does not flush denormal numbers")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_denormal_numbers_are_flushed(dtype):
    """They are 0 as arguments and as results; a sigmoid is never flushed."""
    tiny = np.finfo(dtype).tiny
    x = np.array([tiny / 3, -tiny / 3, tiny / 2**20], dtype)
    for name, value in (("exp", 1.0), ("sigmoid", 0.5), ("tanh", 0.0), ("sqrt", 0.0), ("log", -np.inf)):
        assert apply(name, x, flush=True).tolist() == [value] * 3, name
    assert apply("half_power", x, flush=True).tolist() == [0.0] * 3
    np.testing.assert_allclose(apply("half_power", x)[[0, 2]], np.sqrt(x[[0, 2]].astype(np.longdouble)))
    below = np.linspace(-80, -1, 100) + np.log(tiny.astype(np.longdouble))
    assert apply("exp", below.astype(dtype), flush=True).tolist() == [0.0] * 100
    lowest = apply("sigmoid", below.astype(dtype), flush=True)
    assert ((lowest == 0) | (tiny <= lowest) & (lowest < 2 * tiny)).all()
    assert (lowest[-1:] >= tiny).all()  # up to where e^-x is infinite, and PyTorch's sigmoid is 0
