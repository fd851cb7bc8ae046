"""Random cells for hypothesis: the source of a `Cell` whose step is a random graph over random gates.

They stay where numbers behave: log, sqrt, division and fractional powers act on softplus(.) + 0.1, exp on tanh,
one factor of a product is a tanh, and every new state ends in tanh or sigmoid.
"""

from __future__ import annotations

import textwrap

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
    states = [f"s{i}" for i in range(draw(st.integers(1, 3)))]
    gates = [f"g{i}" for i in range(draw(st.integers(1, 4)))]
    vectors = [f"v{i}" for i in range(draw(st.integers(0, 2)))]
    norms = [f"n{i}" for i in range(draw(st.integers(0, 1)))]
    declared = [
        *(draw(st.sampled_from(GATES)).replace("{gate}", gate) for gate in gates),
        *(f'affine.vector("{name}") * {{a}}' for name in vectors),
        *(f'affine.norm("{name}", {{a}})' for name in norms),
    ]
    declared[0] = 'affine("g0", {a})'  # something comes in, and something comes back
    free = draw(st.lists(st.sampled_from(OPERATIONS), min_size=3, max_size=8))
    known, used, lines = list(states), set(), []
    for number, form in enumerate(draw(st.permutations([*declared, *free]))):
        picked = {name: draw(st.sampled_from(known)) for name in "abcd" if f"{{{name}}}" in form}
        used.update(picked.values())
        numbers = {name: draw(st.sampled_from(NUMBERS)) for name in "nm"}
        right = form.format(
            **picked, **numbers, p=draw(st.sampled_from(POWERS)), compared=draw(st.sampled_from(COMPARISONS))
        )
        known.append(f"t{number}")
        lines.append(f"t{number} = {right}")
    parts: dict[str, list[str]] = {state: [] for state in states}
    for number, name in enumerate(name for name in known if name not in used):
        parts[states[number % len(states)]].append(name)
    new = [
        f"(0.4 * ({' + '.join(own or [state])})).{draw(st.sampled_from(('tanh', 'sigmoid')))}()"
        for state, own in parts.items()
    ]
    step = [*lines, f"return ({', '.join(new)},)"]
    return "\n".join(
        [
            "class Random(Cell):",
            f"    gates, state = {tuple(gates)}, {tuple(states)}",
            f"    vectors, norms = {tuple(vectors)}, {tuple(norms)}",
            "",
            f"    def step(self, affine, {', '.join(states)}):",
            textwrap.indent("\n".join(step), " " * 8),
        ]
    )


def cell_of(source: str) -> type[Cell]:
    """The class that the source defines."""
    names = {"Cell": Cell, "torch": torch, "functional": functional}
    exec(source, names)  # noqa: S102 - drawn above
    return names["Random"]
