"""Random cells for hypothesis: the source of a `Cell` whose step is a random graph over random gates.

They stay where numbers behave: log, sqrt, division and fractional powers act on softplus(.) + 0.1, exp on tanh,
one factor of a product is a tanh, and every new state ends in tanh or sigmoid.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch.nn import functional

from recurra import Cell

NUMBERS = ("-1.5", "-0.3", "0.25", "0.7", "2.0")
POWERS = ("-1.5", "-1.0", "0.5", "1.0", "1.7", "2.0", "3.0")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
POSITIVE = "(functional.softplus({}) + 0.1)"
# {a} to {d} are values, {n} and {m} numbers, {p} a power, {compared} a comparison.
OPERATIONS = (
    "{a} + {b}",
    "{a} - {b}",
    "{n} - {a}",
    "{a}.tanh() * {b}",
    "{n} * {a}",
    f"{{a}} / {POSITIVE.format('{b}')}",
    f"{{n}} / {POSITIVE.format('{a}')}",
    "{a}.tanh() ** 2",
    f"{POSITIVE.format('{a}')} ** {{p}}",
    f"{POSITIVE.format('{a}')} ** {{b}}.tanh()",
    "2.0 ** {a}.tanh()",
    "-{a}",
    "{a}.sigmoid()",
    "torch.tanh({a})",
    "functional.relu({a})",
    "torch.exp({a}.tanh())",
    f"torch.log({POSITIVE.format('{a}')})",
    f"{POSITIVE.format('{a}')}.sqrt()",
    "functional.softplus({a})",
    "{a}.abs()",
    "torch.maximum({a}, {b})",
    "{a}.minimum({b})",
    "torch.clamp({a}, -0.3, 0.4)",
    "{a}.clamp(min={n})",
    "{a}.clamp(max={n})",
    "torch.where({a} {compared} {b}, {c}, {d})",
    "torch.where({a} {compared} {n}, {b}, {m})",
)
GATES = (
    'affine("{gate}", {a})',
    'affine("{gate}")',
    'affine.input("{gate}") + {b}.sigmoid() * affine.hidden("{gate}", {a})',
    'affine.hidden("{gate}", {a})',
)


@st.composite
def sources(draw: st.DrawFn) -> str:
    """The source of a class named Random, which uses all that it declares."""
    return source(
        # Not choice by choice, of which hypothesis likes to repeat a few.
        random.Random(draw(st.integers(0, 2**32 - 1))),
        states=[f"s{i}" for i in range(draw(st.integers(1, 3)))],
        gates=[f"g{i}" for i in range(draw(st.integers(1, 3)))],
        vectors=[f"v{i}" for i in range(draw(st.integers(0, 2)))],
        norms=[f"n{i}" for i in range(draw(st.integers(0, 1)))],
        operations=draw(st.integers(4, 8)),
    )


def source(
    generator: random.Random,
    states: Sequence[str],
    gates: Sequence[str],
    vectors: Sequence[str],
    norms: Sequence[str],
    operations: int,
) -> str:
    """The source of a class with these names, and so many operations between gates and new states."""
    declared = [
        'affine("g0", {a})',  # something comes in, and something comes back
        *(generator.choice(GATES).replace("{gate}", gate) for gate in gates[1:]),
        *(f'affine.vector("{name}") * {{a}}' for name in vectors),
        *(f'affine.norm("{name}", {{a}})' for name in norms),
    ]
    forms = [*declared, *generator.sample(OPERATIONS, operations)]
    generator.shuffle(forms)
    known, unused, lines = list(states), list(states), []
    for number, form in enumerate(forms):
        picked = {
            name: generator.choice(unused if unused and generator.random() < 0.5 else known)
            for name in "abcd"
            if f"{{{name}}}" in form
        }
        right = form.format(
            **picked,
            n=generator.choice(NUMBERS),
            m=generator.choice(NUMBERS),
            p=generator.choice(POWERS),
            compared=generator.choice(COMPARISONS),
        )
        unused = [*(name for name in unused if name not in picked.values()), f"t{number}"]
        known.append(f"t{number}")
        lines.append(f"t{number} = {right}")
    new = []
    for number, state in enumerate(states):
        total = " + ".join(unused[number :: len(states)] or [state])
        new.append(f"(0.4 * ({total})).{generator.choice(('tanh', 'sigmoid'))}()")
    return "\n".join(
        [
            "class Random(Cell):",
            f"    gates, state = {tuple(gates)}, {tuple(states)}",
            f"    vectors, norms = {tuple(vectors)}, {tuple(norms)}",
            "",
            f"    def step(self, affine, {', '.join(states)}):",
            *(f"        {line}" for line in lines),
            f"        return ({', '.join(new)},)",
        ]
    )


def cell_of(source: str) -> type[Cell]:
    """The class that the source defines."""
    names = {"Cell": Cell, "torch": torch, "functional": functional}
    exec(source, names)  # noqa: S102 - drawn above
    return names["Random"]
