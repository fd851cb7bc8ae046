"""Random cells for hypothesis: the source of a `Cell` whose step is a random graph over random gates.

They stay where numbers behave: log, sqrt, division and fractional powers act on softplus(.) + 0.1, exp on tanh,
one factor of a product is a tanh, values that may be infinite or NaN are clamped or not selected, and every new state
ends in tanh or sigmoid. Some have a chain of up to 60 steps, and some a gate that reads a new state.
"""

from __future__ import annotations

import math
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
    "torch.where({a} {compared} {n}, {m}, {n}) * {b}",
    "torch.where({a} {compared} {n}, {b}.tanh(), -math.inf).exp()",
    "torch.where({a} {compared} {n}, math.inf, {b}).clamp(max={m})",
    "torch.maximum(torch.where({a} {compared} {n}, {b}, -math.inf), {c})",
    "torch.where({a} < {n}, torch.where({a} < {n}, {b}, math.nan), {c})",
    "{a}.clamp({n}, math.inf)",
)
# {t} is the value that the chain goes on with.
CHAINS = (
    "{t} + 0.1 * {b}.sigmoid() * ({c}.tanh() - {t})",
    "(1.02 * {t}).tanh() + 0.1 * {b}.tanh()",
    "torch.maximum(0.9 * {t}, 0.3 * {b}.tanh()) - 0.05",
    "({t} + 0.1 * {b}.sigmoid()) / (1.1 + 0.1 * {c}.sigmoid())",
)
LONGEST_CHAIN = 60
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
        # Of values that differ from unit to unit: otherwise its gradient is nothing but rounding.
        *(f'affine.norm("{name}", {{a}} + 0.3 * {states[0]})' for name in norms),
    ]
    late = len(gates) > 1 and len(states) > 1 and generator.random() < 0.5
    if late:  # the last gate reads the first new state
        declared.pop(len(gates) - 1)
    forms = [*declared, *generator.sample(OPERATIONS, operations)]
    if generator.random() < 0.5:
        forms.append(generator.choice(CHAINS))
    generator.shuffle(forms)
    body = _Body(generator, states)
    for number, form in enumerate(forms):
        body.add(f"t{number}", form)
    unused = body.unused
    for number, state in enumerate(states):
        terms = unused[number :: len(states)] or [state]
        if late and number == 1:
            terms = [*terms, f'affine("{gates[-1]}", new0)']
        function = generator.choice(("tanh", "sigmoid"))
        body.lines.append(f"new{number} = (0.4 * ({' + '.join(terms)})).{function}()")
    return "\n".join(
        [
            "class Random(Cell):",
            f"    gates, state = {tuple(gates)}, {tuple(states)}",
            f"    vectors, norms = {tuple(vectors)}, {tuple(norms)}",
            "",
            f"    def step(self, affine, {', '.join(states)}):",
            *(f"        {line}" for line in body.lines),
            f"        return ({', '.join(f'new{number}' for number in range(len(states)))},)",
        ]
    )


class _Body:
    """The lines of a step as they grow, the names that are known, and those that nothing has used yet."""

    def __init__(self, generator: random.Random, states: Sequence[str]) -> None:
        self.generator = generator
        self.known, self.unused = list(states), list(states)
        self.lines: list[str] = []

    def add(self, name: str, form: str) -> None:
        """A value of this form; a chain goes on from a value that there is."""
        generator, chain = self.generator, form in CHAINS
        picked = {
            letter: generator.choice(self.unused if self.unused and generator.random() < 0.5 else self.known)
            for letter in "abcd"
            if f"{{{letter}}}" in form or (chain and letter == "a")
        }
        right = form.format(
            **picked,
            t=name,
            n=generator.choice(NUMBERS),
            m=generator.choice(NUMBERS),
            p=generator.choice(POWERS),
            compared=generator.choice(COMPARISONS),
        )
        if chain:
            times = generator.randint(2, LONGEST_CHAIN)
            self.lines += [f"{name} = {picked['a']}", f"for _ in range({times}):", f"    {name} = {right}"]
        else:
            self.lines.append(f"{name} = {right}")
        self.unused = [*(one for one in self.unused if one not in picked.values()), name]
        self.known.append(name)


def cell_of(source: str) -> type[Cell]:
    """The class that the source defines."""
    names = {"Cell": Cell, "math": math, "torch": torch, "functional": functional}
    exec(source, names)  # noqa: S102 - drawn above
    return names["Random"]
