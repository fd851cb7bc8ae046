"""Operations written out in those of the kernels."""

from __future__ import annotations

import math

import pytest

from recurra.cells.program import Node
from recurra.engine.lower import lower

STATE = Node("state", name="h")


def lowered(*nodes):
    """The operation that the last node becomes, and those of its operands."""
    found, position = lower([STATE, *nodes], ())
    last = found[position[-1]]
    return last.op, [found[arg].op for arg in last.args]


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (0.0, ("constant", [])),
        (1.0, ("state", [])),
        (2.0, ("mul", ["state", "state"])),
        (3.0, ("mul", ["mul", "state"])),
        (0.5, ("sqrt", ["state"])),
        (-0.5, ("div", ["constant", "sqrt"])),
        (-1.0, ("div", ["constant", "state"])),
        (-2.0, ("div", ["constant", "mul"])),
        (4.0, ("pow", ["state", "constant"])),
        (math.inf, ("pow", ["state", "constant"])),
    ],
)
def test_powers_are_taken_as_pytorch_takes_them(power, expected):
    assert lowered(Node("constant", values=(power,)), Node("pow", (0, 1))) == expected


def test_a_bound_that_is_nan():
    assert lowered(Node("clamp", (0,), values=(None, math.nan))) == ("constant", [])
    assert lowered(Node("clamp", (0,), values=(None, math.inf))) == ("clamp", ["state"])


def test_norms_become_means_and_hidden_biases_vectors():
    assert lowered(Node("norm", (0,), "n")) == ("add", ["mul", "vector"])
    nodes, position = lower([STATE, Node("hidden", (0,), "a"), Node("hidden", (0,), "b")], ["b"])
    assert [nodes[place].op for place in position] == ["state", "hidden", "add"]
