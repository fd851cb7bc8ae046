"""Lowering: operations that kernels do not have, written out in those that they have."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recurra.cells.program import Builder, Node


def lower(nodes: Sequence[Node], hidden_biases: Sequence[str]) -> tuple[list[Node], list[int]]:
    """The nodes with layer norms written out in means and hidden biases as vectors, and where each went."""
    builder = Builder()
    position: list[int] = []

    def normalised(x: int) -> tuple[int, int]:
        centred = builder.add("sub", x, builder.add("mean", x))
        variance = builder.add("mean", builder.add("mul", centred, centred))
        scale = builder.add("inverse_root", variance)
        return builder.add("mul", centred, scale), scale

    for node in nodes:
        args = tuple(position[arg] for arg in node.args)
        if node.op == "norm":
            gain, shift = (
                builder.add("vector", name=f"norm_{node.name}_{part}") for part in ("gain", "shift")
            )
            position.append(builder.add("add", builder.add("mul", normalised(args[0])[0], gain), shift))
        elif node.op == "normalised":
            position.append(normalised(args[0])[0])
        elif node.op == "inverse_deviation":
            position.append(normalised(args[0])[1])
        elif node.op == "gain":
            position.append(builder.add("vector", name=f"norm_{node.name}_gain"))
        elif node.op == "vector":
            position.append(builder.add("vector", name=f"vector_{node.name}"))
        elif node.op == "hidden" and node.name in hidden_biases:
            product = builder.add("hidden", *args, name=node.name)
            bias = builder.add("vector", name=f"hidden_bias_{node.name}")
            position.append(builder.add("add", product, bias))
        elif node.op == "pow" and nodes[node.args[1]].op == "constant":
            position.append(_power(builder, *args))
        elif node.op == "clamp" and any(bound is not None and math.isnan(bound) for bound in node.values):
            position.append(
                builder.add("constant", values=(math.nan,))
            )  # what PyTorch gives for a bound that is NaN
        else:
            position.append(builder.add(node.op, *args, name=node.name, values=node.values))
    return builder.nodes, position


def _power(builder: Builder, base: int, exponent: int) -> int:
    """The operations by which PyTorch computes a power with a constant exponent.

    C's function differs from them at infinities: in PyTorch (-inf) ** 0.5 is NaN.
    """
    (power,) = builder.nodes[exponent].values

    def inverse(place: int) -> int:
        return builder.add("div", builder.add("constant", values=(1.0,)), place)

    if power == 0.0:
        return builder.add("constant", values=(1.0,))
    if power == 1.0:
        return base
    if power == -1.0:
        return inverse(base)
    if power in (0.5, -0.5):
        root = builder.add("sqrt", base)
        return root if power > 0 else inverse(root)
    if power in (2.0, -2.0, 3.0):
        square = builder.add("mul", base, base)
        return {2.0: square, -2.0: inverse(square), 3.0: builder.add("mul", square, base)}[power]
    return builder.add("pow", base, exponent)
