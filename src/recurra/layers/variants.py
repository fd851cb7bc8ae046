"""What the layers of other systems compute, and the cells of ours that compute it.

Where a built-in cell does, it is that one; otherwise a variant with other activations, clipped
pre-activations or coupled gates. This file knows no system's names or weight layouts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any, ClassVar

import torch
from torch.nn import functional

from recurra.cells import GRU, LSTM, Cell, CoupledLSTM, Elman, GRUResetAfter, PeepholeLSTM, Program, ReluElman
from recurra.cells.variants import variant

Activation = Callable[[Any], Any]
"""A pointwise function, written in the notation of cells."""

# --- activations --------------------------------------------------------------------------------------


def tanh(a: Any) -> Any:
    """The hyperbolic tangent."""
    return a.tanh()


def sigmoid(a: Any) -> Any:
    """The logistic function."""
    return a.sigmoid()


def relu(a: Any) -> Any:
    """max(0, a)."""
    return a.relu()


def linear(a: Any) -> Any:
    """The identity."""
    return a


def softplus(a: Any) -> Any:
    """log(1 + exp(a))."""
    return functional.softplus(a)


def softsign(a: Any) -> Any:
    """a / (1 + |a|)."""
    return a / (1 + a.abs())


def elu(a: Any) -> Any:
    """`a` where it is positive, exp(a) - 1 elsewhere; bounded before exp, so that no gradient is NaN."""
    return torch.where(a > 0, a, a.clamp(max=0.0).exp() - 1)


def leaky_relu(a: Any) -> Any:
    """`a` where it is positive, a / 100 elsewhere."""
    return torch.where(a > 0, a, 0.01 * a)


def hard_sigmoid_fifth(a: Any) -> Any:
    """a / 5 + 1/2, bounded to 0 and 1."""
    return (0.2 * a + 0.5).clamp(0.0, 1.0)


def hard_sigmoid_sixth(a: Any) -> Any:
    """a / 6 + 1/2, bounded to 0 and 1."""
    return (a / 6 + 0.5).clamp(0.0, 1.0)


# --- cells --------------------------------------------------------------------------------------------


class ElmanVariant(Elman):
    """`Elman` with the activation f."""

    functions: ClassVar[tuple[Activation, ...]] = (tanh,)

    def step(self, affine: Any, h: Any) -> Any:  # noqa: D102 - documented by its class, as every step
        (f,) = self.functions
        return f(affine("candidate", h))


class GRUVariant(GRU):
    """`GRU` with f for the gates and g for the candidate, in which update is the share of the old state."""

    functions: ClassVar[tuple[Activation, ...]] = (sigmoid, tanh)

    def step(self, affine: Any, h: Any) -> Any:  # noqa: D102
        f, g = self.functions
        update, reset = f(affine("update", h)), f(affine("reset", h))
        candidate = g(affine("candidate", reset * h))
        return (1 - update) * candidate + update * h


class GRUResetAfterVariant(GRUResetAfter):
    """`GRUResetAfter` with f for the gates and g for the candidate."""

    functions: ClassVar[tuple[Activation, ...]] = (sigmoid, tanh)

    def step(self, affine: Any, h: Any) -> Any:  # noqa: D102
        f, g = self.functions
        reset = f(affine.input("reset") + affine.hidden("reset", h))
        update = f(affine.input("update") + affine.hidden("update", h))
        candidate = g(affine.input("candidate") + reset * affine.hidden("candidate", h))
        return (1 - update) * candidate + update * h


class LSTMVariant(LSTM):
    """`LSTM` with f for the gates, g for the candidate and h for the memory."""

    functions: ClassVar[tuple[Activation, ...]] = (sigmoid, tanh, tanh)

    def step(self, affine: Any, h: Any, c: Any) -> Any:  # noqa: D102
        f, g, of_memory = self.functions
        update, forget, output = f(affine("update", h)), f(affine("forget", h)), f(affine("output", h))
        c = update * g(affine("candidate", h)) + forget * c
        return output * of_memory(c), c


class PeepholeLSTMVariant(PeepholeLSTM):
    """`PeepholeLSTM` with f for the gates, g for the candidate and h for the memory."""

    functions: ClassVar[tuple[Activation, ...]] = (sigmoid, tanh, tanh)

    def step(self, affine: Any, h: Any, c: Any) -> Any:  # noqa: D102
        f, g, of_memory = self.functions
        update = f(affine("update", h) + affine.vector("update") * c)
        forget = f(affine("forget", h) + affine.vector("forget") * c)
        c = update * g(affine("candidate", h)) + forget * c
        output = f(affine("output", h) + affine.vector("output") * c)
        return output * of_memory(c), c


class CoupledLSTMVariant(CoupledLSTM):
    """`CoupledLSTM` with f for the gates, g for the candidate and h for the memory."""

    functions: ClassVar[tuple[Activation, ...]] = (sigmoid, tanh, tanh)

    def step(self, affine: Any, h: Any, c: Any) -> Any:  # noqa: D102
        f, g, of_memory = self.functions
        update, output = f(affine("update", h)), f(affine("output", h))
        c = update * g(affine("candidate", h)) + (1 - update) * c
        return output * of_memory(c), c


class CoupledPeepholeLSTMVariant(CoupledLSTM):
    """`CoupledLSTMVariant` with peepholes; update sees the old memory, output the new one."""

    vectors = ("update", "output")
    initial_vector: ClassVar[dict[str, float]] = {"update": 0.0, "output": 0.0}
    functions: ClassVar[tuple[Activation, ...]] = (sigmoid, tanh, tanh)

    def step(self, affine: Any, h: Any, c: Any) -> Any:  # noqa: D102
        f, g, of_memory = self.functions
        update = f(affine("update", h) + affine.vector("update") * c)
        c = update * g(affine("candidate", h)) + (1 - update) * c
        output = f(affine("output", h) + affine.vector("output") * c)
        return output * of_memory(c), c


# --- equations ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Equations:
    """What one step of another system's layer computes. Update is the share of a GRU's old state.

    Attributes:
        kind: "RNN", "GRU" or "LSTM".
        activations: f of an RNN; f (gates) and g (candidate) of a GRU; f, g and h (memory) of an LSTM.
        reset_after: of a GRU: reset after the product.
        peepholes: of an LSTM: Gers's.
        coupled: of an LSTM: forget is 1 - update.
        clip: what f and g are given is bounded to [-clip, clip]; None for no bound.
    """

    kind: str
    activations: tuple[Activation, ...]
    reset_after: bool = False
    peepholes: bool = False
    coupled: bool = False
    clip: float | None = None


GRU_EQUATIONS = Equations("GRU", (sigmoid, tanh))
BUILT_IN: dict[Equations, type[Cell]] = {
    Equations("RNN", (tanh,)): Elman,
    Equations("RNN", (relu,)): ReluElman,
    Equations("GRU", (sigmoid, tanh), reset_after=True): GRUResetAfter,
    Equations("LSTM", (sigmoid, tanh, tanh)): LSTM,
    Equations("LSTM", (sigmoid, tanh, tanh), peepholes=True): PeepholeLSTM,
    Equations("LSTM", (sigmoid, tanh, tanh), coupled=True): CoupledLSTM,
}
# (kind, reset_after, peepholes, coupled)
VARIANTS: dict[tuple[str, bool, bool, bool], type[Cell]] = {
    ("RNN", False, False, False): ElmanVariant,
    ("GRU", False, False, False): GRUVariant,
    ("GRU", True, False, False): GRUResetAfterVariant,
    ("LSTM", False, False, False): LSTMVariant,
    ("LSTM", False, True, False): PeepholeLSTMVariant,
    ("LSTM", False, False, True): CoupledLSTMVariant,
    ("LSTM", False, True, True): CoupledPeepholeLSTMVariant,
}


@dataclass(frozen=True)
class Realisation:
    """A cell that computes given equations, its program, and the gates whose rows change sign for it."""

    cell: type[Cell]
    program: Program
    negated: tuple[str, ...] = ()


@cache
def cells_for(equations: Equations) -> tuple[Realisation, ...]:
    """The cells that compute `equations`, the one to choose first.

    `GRU` has the textbooks' sign (update is the share of the candidate), so its update gate is negated:
    1 - sigmoid(a) = sigmoid(-a). Of other activations that does not hold.
    """
    if equations in BUILT_IN:
        return (Realisation(BUILT_IN[equations], program_of(BUILT_IN[equations])),)
    cell = _variant(equations)
    realisation = Realisation(cell, program_of(cell))
    if equations == GRU_EQUATIONS:
        return (Realisation(GRU, program_of(GRU), ("update",)), realisation)
    return (realisation,)


def _variant(equations: Equations) -> type[Cell]:
    base = VARIANTS[equations.kind, equations.reset_after, equations.peepholes, equations.coupled]
    pre_activations = 1 if equations.kind == "RNN" else 2
    functions = tuple(
        Clipped(function, equations.clip)
        if equations.clip is not None and place < pre_activations
        else function
        for place, function in enumerate(equations.activations)
    )
    parts = [function.__name__ for function in equations.activations]
    parts += [] if equations.clip is None else [f"clip={equations.clip:g}"]
    name = f"{base.__name__.removesuffix('Variant')}({', '.join(parts)})"
    return variant(base, {"functions": functions}, name)


@dataclass(frozen=True)
class Clipped:
    """A function of what it is given, bounded to [-clip, clip]."""

    function: Activation
    clip: float

    def __call__(self, a: Any) -> Any:
        """The function's value."""
        return self.function(a.clamp(-self.clip, self.clip))


def program_of(cell: type[Cell]) -> Program:
    """The program of a cell class, which does not depend on its sizes; torch's generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        return cell(1, 1).program


def equations_like(program: Program, activations: Iterable[Activation]) -> Iterator[Equations]:
    """All equations with these activations that `program` may be computing, to be compared by their cells.

    They are few: the number of gates, states and vectors gives the kind, and an activation counts only
    if its operations, and the numbers in them, all stand in the program.
    """
    forms = {
        (1, 1, 0): [Equations("RNN", ())],
        (3, 1, 0): [Equations("GRU", ()), Equations("GRU", (), reset_after=True)],
        (4, 2, 0): [Equations("LSTM", ())],
        (4, 2, 3): [Equations("LSTM", (), peepholes=True)],
        (3, 2, 0): [Equations("LSTM", (), coupled=True)],
        (3, 2, 2): [Equations("LSTM", (), coupled=True, peepholes=True)],
    }
    operations = _operations(program)
    used = [function for function in activations if _operations_of(function) <= operations]
    bounds = [values for op, values in operations if op == "clamp"]
    clips = [None, *sorted({high for low, high in bounds if high is not None and low == -high})]
    number = {"RNN": 1, "GRU": 2, "LSTM": 3}
    for form in forms.get((len(program.gates), len(program.states), len(program.vectors)), []):
        for functions in product(used, repeat=number[form.kind]):
            for clip in clips:
                yield replace(form, activations=functions, clip=clip)


def _operations(program: Program) -> frozenset[tuple[str, tuple[float | None, ...]]]:
    """The pointwise operations and constants."""
    leaves = ("state", "input", "hidden", "vector")
    return frozenset((node.op, node.values) for node in program.nodes if node.op not in leaves)


@cache
def _operations_of(function: Activation) -> frozenset[tuple[str, tuple[float | None, ...]]]:
    return _operations(program_of(_variant(Equations("RNN", (function,)))))


# --- without biases -----------------------------------------------------------------------------------


class ElmanWithoutBias(Elman):
    """`Elman` as `nn.RNN(bias=False)` has it."""

    has_bias = False


class ReluElmanWithoutBias(ReluElman):
    """`ReluElman` as `nn.RNN(nonlinearity="relu", bias=False)` has it."""

    has_bias = False


class GRUWithoutBias(GRU):
    """`GRU` as Keras's `GRU(reset_after=False, use_bias=False)` has it, but for the sign."""

    has_bias = False


class GRUResetAfterWithoutBias(GRUResetAfter):
    """`GRUResetAfter` as `nn.GRU(bias=False)` has it."""

    has_bias = False


class LSTMWithoutBias(LSTM):
    """`LSTM` as `nn.LSTM(bias=False)` has it."""

    has_bias = False
    initial_bias: ClassVar[dict[str, float]] = {}


class PeepholeLSTMWithoutBias(PeepholeLSTM):
    """`PeepholeLSTM` as an ONNX LSTM with P and without B has it."""

    has_bias = False
    initial_bias: ClassVar[dict[str, float]] = {}


WITHOUT_BIAS: dict[type[Cell], type[Cell]] = {
    Elman: ElmanWithoutBias,
    ReluElman: ReluElmanWithoutBias,
    GRU: GRUWithoutBias,
    GRUResetAfter: GRUResetAfterWithoutBias,
    LSTM: LSTMWithoutBias,
    PeepholeLSTM: PeepholeLSTMWithoutBias,
}


def without_bias(cell: type[Cell]) -> type[Cell]:
    """The cell without biases."""
    if cell not in WITHOUT_BIAS:
        name, bracket, activations = cell.__name__.partition("(")
        attributes = {"has_bias": False, "initial_bias": {}}
        WITHOUT_BIAS[cell] = variant(cell, attributes, f"{name}WithoutBias{bracket}{activations}")
    return WITHOUT_BIAS[cell]
