"""Cells of the literature that no built-in cell is like.

LEM and SCRN multiply new states of a step with weights of the same step.
"""

from __future__ import annotations

from torch.nn import functional

from recurra import Cell


class LEM(Cell):
    """Long expressive memory (Rusch 2022, equation 3): two time scales, and y reads the new z."""

    gates = ("fast", "slow", "z", "y")
    state = ("y", "z")

    def step(self, affine, y, z):
        fast, slow = 0.7 * affine("fast", y).sigmoid(), 0.7 * affine("slow", y).sigmoid()
        z = (1 - fast) * z + fast * affine("z", y).tanh()
        y = (1 - slow) * y + slow * affine("y", z).tanh()
        return y, z


class SCRN(Cell):
    """Structurally constrained recurrent network (Mikolov 2015, equations 3 and 4): a slow context, read when new."""

    gates = ("context", "slow", "fast")
    state = ("h", "s")
    has_bias = False

    def step(self, affine, h, s):
        s = 0.05 * affine("context") + 0.95 * s
        return (affine.hidden("slow", s) + affine("fast", h)).sigmoid(), s


class CTRNN(Cell):
    """Continuous-time network (Funahashi 1993) by Euler's method, with a time constant for each unit."""

    gates = ("a",)
    vectors = ("rate",)

    def step(self, affine, h):
        return h + affine.vector("rate").sigmoid() * (affine("a", h.tanh()) - h)


class LTC(Cell):
    """Liquid time constants (Hasani 2021, algorithm 1): six steps of the fused solver, the gate held meanwhile."""

    gates = ("f",)
    state = ("v",)
    vectors = ("level", "leak")

    def step(self, affine, v):
        f, level, leak = affine("f", v).sigmoid(), affine.vector("level"), affine.vector("leak")
        for _ in range(6):
            v = (v + 0.15 * f * level) / (1 + 0.15 * (functional.softplus(leak) + f))
        return v


class Both(Cell):
    """The output is read when new, leaves twice, and is multiplied twice."""

    gates = ("a", "b", "c")
    state = ("h", "m", "again")

    def step(self, affine, h, m, again):
        h = affine("a", m * again).tanh()
        return h, affine("b", h).tanh() + affine.hidden("c", h).sigmoid() * m, h
