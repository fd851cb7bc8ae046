"""What generated kernels are made of: reading and writing blocks, and the functions that cells use.

A block holds ROWS rows by UNITS hidden units. H is a multiple of 16, so that whole vectors are read and written; units
beyond the true ones are not live, and zero in memory. Nothing here comes from a vendor's library of functions, so the
same code runs in Triton's interpreter and on a GPU, in float32 and float64.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def read(base, row, unit, valid):
    """The block whose rows begin at `row`; zero where it is not valid."""
    return tl.load(base + row[:, None] + unit[None, :], mask=valid, other=0)


@triton.jit
def write(base, row, unit, valid, live, value):
    """Store a block where it is valid, zero where it is not live; what is the same for all rows is spread."""
    tl.store(base + row[:, None] + unit[None, :], tl.where(live, value, 0.0), mask=valid)


@triton.jit
def per_unit(base, unit, H):
    """A parameter `[H]`, as a block of one row."""
    return tl.load(base + unit, mask=unit < H, other=0)[None, :]


@triton.jit
def multiply(operand, weight, gate, inner, unit, H, total, PRECISION: tl.constexpr):
    """`total` plus the operand times a block of W_gate^T: each unit's weights lie in a row."""
    place = (gate * H + unit)[None, :] * H + inner[:, None]
    block = tl.load(weight + place, mask=(inner < H)[:, None] & (unit < H)[None, :], other=0)
    return tl.dot(operand, block, total, input_precision=PRECISION, out_dtype=total.dtype)


@triton.jit
def multiply_back(operand, weight, gate, inner, unit, H, total, PRECISION: tl.constexpr):
    """`total` plus the operand times a block of W_gate: gradients on their way back."""
    place = (gate * H + inner)[:, None] * H + unit[None, :]
    block = tl.load(weight + place, mask=(inner < H)[:, None] & (unit < H)[None, :], other=0)
    return tl.dot(operand, block, total, input_precision=PRECISION, out_dtype=total.dtype)


@triton.jit
def sum_of_units(value, live):
    """The sum `[ROWS]` over the live units."""
    return tl.sum(tl.where(live, value, 0.0), 1)


@triton.jit
def add_rows(before, after, unit, H, live, value):
    """Add a block's sum over its live rows to what was at `before`, and put it at `after`."""
    total = tl.load(before + unit, mask=unit < H, other=0) + tl.sum(tl.where(live, value, 0.0), 0)
    tl.store(after + unit, total, mask=unit < H)


@triton.jit
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def tanh(x):
    """Near zero the fifth convergent of Lambert's continued fraction x / (1 + x² / (3 + x² / (5 + ...)))."""
    size = tl.abs(x)
    decay = tl.exp(-2.0 * size)
    far = (1.0 - decay) / (1.0 + decay)
    square = x * x
    near = x * (945.0 + square * (105.0 + square)) / (945.0 + square * (420.0 + square * 15.0))
    return tl.where(size < 0.25, near, tl.where(x < 0.0, -far, far))


@triton.jit
def relu(x):
    """x where it is positive."""
    return tl.where(x < 0.0, 0.0, x)


@triton.jit
def softplus(x):
    """log(1 + e^x), and x itself above 20; what 1 + e^x rounds off is made good by the quotient."""
    power = tl.exp(tl.where(x > 20.0, 20.0, x))
    risen = 1.0 + power
    lost = tl.where(risen == 1.0, 1.0, risen - 1.0)
    small = tl.where(risen == 1.0, power, tl.log(risen) * (power / lost))
    return tl.where(x > 20.0, x, small)


@triton.jit
def power(x, y):
    """x to the power of y, with C's signs and undefined values."""
    size = tl.abs(x)
    size = tl.where(size == 1.0, 1.0, tl.exp(y * tl.log(tl.where(size == 0.0, 1.0, size))))
    whole = tl.floor(y) == y
    odd = tl.floor(y * 0.5) * 2.0 != y
    below = tl.where(x == 0.0, 1.0 / x, x) < 0.0  # a negative zero too
    at_zero = tl.where(y > 0.0, 0.0, tl.where(y < 0.0, float("inf"), y))
    size = tl.where(x == 0.0, at_zero, size)
    endless = tl.abs(x) == float("inf")
    signed = tl.where(odd & whole, size * -1.0, tl.where(whole | endless | (x == 0.0), size, float("nan")))
    return tl.where(y == 0.0, 1.0, tl.where(below, signed, size))


@triton.jit
def maximum(x, y):
    """The larger one, NaN where either is."""
    return tl.where((x != x) | (x > y), x, y)


@triton.jit
def minimum(x, y):
    """The smaller one, NaN where either is."""
    return tl.where((x != x) | (x < y), x, y)
