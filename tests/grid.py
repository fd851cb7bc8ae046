"""The grid: one case for each way to run a cell, and its comparison with the oracle.

Outputs, final states and the gradients of parameters, inputs and initial state. B batch, T time, I input,
H hidden.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

import cases
import oracle
from recurra.contracts import State
from recurra.engine.cpu import build
from recurra.layers.recurrent import Recurrent

INPUT, HIDDEN, TIME = 3, (23, 14), 7
LENGTHS = (4, 0, 7, 1, 6)
CHUNK = 3
BACKENDS = ("reference", "vendor", *(("cpu",) if build.compiler() else ()))
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}


@dataclass(frozen=True)
class Case:
    """One point of the grid."""

    cell: str
    layers: int
    bidirectional: bool
    ragged: bool
    given_state: bool
    chunked: bool
    backend: str
    dtype: torch.dtype

    def __str__(self) -> str:
        words = [self.cell, f"{self.layers}layer", "bi" if self.bidirectional else "uni"]
        words += [name for name in ("ragged", "given_state", "chunked") if getattr(self, name)]
        return "-".join([*words, self.backend, str(self.dtype).removeprefix("torch.")])

    @property
    def lengths(self) -> Tensor | None:
        return torch.tensor(LENGTHS) if self.ragged else None

    def build(self) -> Recurrent:
        """Random parameters; drawn from torch's generator."""
        return cases.recurrent(
            self.cell,
            INPUT,
            HIDDEN[0] if self.layers == 1 else HIDDEN,
            dtype=self.dtype,
            bidirectional=self.bidirectional,
            chunk=CHUNK if self.chunked else None,
            backend=self.backend,
        )


def every_case() -> list[Case]:
    """The full product, vendor where it carries a kernel, cpu where there is a compiler."""
    flags = [(False, True)] * 4
    product = itertools.product(cases.ALL_CELLS, (1, 2), *flags, BACKENDS, TOLERANCE)
    grid = [Case(*values) for values in product]
    return [case for case in grid if case.backend != "vendor" or case.cell in cases.VENDOR_CELLS]


def pairs(case: Case) -> set[tuple[Any, ...]]:
    """The pairs of settings that a case covers."""
    values = [(field.name, getattr(case, field.name)) for field in fields(case)]
    return set(itertools.combinations(values, 2))


def pairwise_cases() -> list[Case]:
    """A small selection in which every pair of settings that is possible occurs; always the same."""
    candidates = every_case()
    missing = set().union(*(pairs(case) for case in candidates))
    selected = []
    while missing:
        best = max(candidates, key=lambda case: len(pairs(case) & missing))
        missing -= pairs(best)
        selected.append(best)
    return selected


def nested(state: State) -> list[list[dict[str, Tensor]]]:
    return [[dict(states) for states in directions] for directions in state.layers]


def gradients(loss: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def differences(case: Case, rnn: Recurrent) -> dict[str, float]:
    """How far `rnn` is from the oracle: relative differences by name of tensor."""
    batch = len(LENGTHS)
    x = cases.leaf(torch.randn(batch, TIME, INPUT, dtype=case.dtype))
    state = cases.random_state(rnn, batch).map(cases.leaf) if case.given_state else None
    outputs, final = rnn(x, state, case.lengths)
    expected, expected_final = oracle.run(
        case.cell, list(rnn.cells), x, None if state is None else nested(state), case.lengths
    )
    leaves = {"x": x, **dict(rnn.named_parameters())}
    leaves |= {f"initial {key}": tensor for key, tensor in (state.tensors() if state is not None else ())}
    both = {"outputs": (outputs, expected)}
    for layer, direction, name in places(final):
        both[f"final {layer} {direction} {name}"] = (
            final.layers[layer][direction][name],
            expected_final[layer][direction][name],
        )
    weights = {name: torch.randn_like(theirs) for name, (_, theirs) in both.items()}
    ours = gradients(sum((a * weights[name]).sum() for name, (a, _) in both.items()), leaves)
    theirs = gradients(sum((b * weights[name]).sum() for name, (_, b) in both.items()), leaves)
    both |= {f"gradient of {name}": (ours[name], theirs[name]) for name in leaves}
    return {name: cases.difference(a, b) for name, (a, b) in both.items()}


def places(state: State) -> list[tuple[int, int, str]]:
    """Layer, direction and name of every tensor of a state."""
    return [
        (layer, direction, name)
        for layer, directions in enumerate(state.layers)
        for direction, states in enumerate(directions)
        for name in states
    ]
