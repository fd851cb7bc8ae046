"""What a class declares and what an object sets."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recurra import Cell, CellError
from recurra.cells import Elman


def refusal(cell_class: type[Cell]) -> str:
    with pytest.raises(CellError) as caught:
        cell_class(3, 5)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "attributes",
    [
        {"gates": ("a", "a", "b")},
        {"gates": "ab"},
        {"state": ("h", "h")},
        {"state": ()},
        {"vectors": ("v.w",)},
        {"gates": ("a", 3)},
    ],
)
def test_declarations_are_tuples_of_distinct_names(attributes):
    def step(affine, *states):
        return sum((affine.vector(name) for name in attributes.get("vectors", ())), affine("a") + affine("b"))

    body: dict[str, Any] = {"gates": ("a", "b"), "step": lambda self, *args: step(*args)}
    message = refusal(type("Mine", (Cell,), body | attributes))
    assert f"Mine.{next(iter(attributes))}" in message


@pytest.mark.parametrize("name", ["bias", "hidden_bias", "vector_v", "norm_n_gain"])
@pytest.mark.parametrize("place", ["class", "object"])
def test_names_of_parameters_are_taken(name, place):
    class Mine(Cell):
        gates = ("a",)
        vectors = ("v",)
        norms = ("n",)

        def __init__(self, input_size, hidden_size):
            if place == "object":
                setattr(self, name, True)
            super().__init__(input_size, hidden_size)

        def step(self, affine, h):
            return affine.norm("n", affine("a", h) * affine.vector("v"))

    message = refusal(type("Third", (Mine,), {name: False} if place == "class" else {}))
    assert f"Third.{name}: a parameter of the cell has this name; choose another one" in message
    assert ("has_bias = False leaves the biases out" in message) == (name == "bias")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("initial_bias", 1.0, "Mine.initial_bias: expected numbers by name, as {'a': 1.0}, got 1.0."),
        ("initial_bias", {"a": "1"}, "Mine.initial_bias: expected numbers by name"),
        ("initial_vector", {"v": torch.ones(5)}, "Mine.initial_vector: expected numbers by name"),
        ("has_bias", "no", "Mine.has_bias: expected True or False, got 'no'."),
        ("gates", property(lambda self: ("a",)), "Mine.gates: expected a tuple of distinct names"),
    ],
)
def test_declarations_have_their_types(name, value, said):
    body = {"gates": ("a",), "step": lambda self, affine, h: affine("a", h), name: value}
    assert said in refusal(type("Mine", (Cell,), body))


@pytest.mark.parametrize("name", ["gates", "state", "has_bias", "initial_bias"])
def test_declarations_stand_in_the_class(name):
    class Mine(Elman):
        def __init__(self, input_size, hidden_size):
            setattr(self, name, ("candidate",))
            super().__init__(input_size, hidden_size)

    assert f"Mine.{name}: set on the object; declare it in the class" in refusal(Mine)
