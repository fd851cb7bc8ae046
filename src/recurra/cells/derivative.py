"""The derivative of a program: one time step taken backwards, as operations of the same kind.

Back-propagation through time runs the step backwards, from the gradients that arrive at its new states (from
the loss at this step, and from the step after) to those of everything that the step used. What is derived here
is that one step: reverse-mode differentiation of the program's nodes, each by its rule in `RULES`. Derivatives
are PyTorch's everywhere, at ties, kinks, infinities and NaN too; the rules follow the formulas of its autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from recurra.cells.program import COMPARISONS, Builder, Node, Program

# What may stand in a derivative besides what stands in programs.
#   gradient     leaf: what arrives at the new state `name`
#   gain         leaf: the gain [H] of the norm `name`
#   transposed   W_name,h^T times the operand: a gate's gradient taken back over its hidden weights
#   mean         over the hidden units
#   normalised   the operand, minus its mean, over its deviation
#   inverse_deviation  1 / sqrt(variance + epsilon) of the operand, over the hidden units
BACKWARD_OPS = ("gradient", "gain", "transposed", "mean", "normalised", "inverse_deviation")


@dataclass(frozen=True)
class Derivative:
    """One step of a program backwards. Every gradient is that of the loss.

    Attributes:
        program: what it is the derivative of.
        nodes: the program's nodes, in their places, and after them those of the derivative, operands first.
        gradients: by place in the program's nodes, the place of the gradient of that node, for all nodes on
            which the loss depends through this step.
    """

    program: Program
    nodes: tuple[Node, ...]
    gradients: dict[int, int]

    def of(self, op: str, name: str) -> int | None:
        """The place of the gradient of a leaf or product, such as ("hidden", "forget") or ("state", "c").

        For "input" and "hidden" it is the gradient of that half of the gate's pre-activation; None where the
        loss does not depend on it.
        """
        place = self._leaves.get((op, name))
        return None if place is None else self.gradients.get(place)

    @cached_property
    def _leaves(self) -> dict[tuple[str, str], int]:
        """The places of the leaves and products that have a name."""
        return {(node.op, node.name): index for index, node in enumerate(self.program.nodes) if node.name}

    @cached_property
    def norm_gains(self) -> dict[str, int]:
        """By norm, the place of what its gain's gradient is the sum of, over rows and steps."""
        return {
            node.name: self._product_of(index) for index, node in self._norms() if index in self.gradients
        }

    @cached_property
    def norm_shifts(self) -> dict[str, int]:
        """By norm, the place of what its shift's gradient is the sum of, over rows and steps."""
        return {node.name: self.gradients[index] for index, node in self._norms() if index in self.gradients}

    def _norms(self) -> list[tuple[int, Node]]:
        return [(index, node) for index, node in enumerate(self.program.nodes) if node.op == "norm"]

    def _product_of(self, index: int) -> int:
        normalised = self._places[Node("normalised", self.program.nodes[index].args)]
        return self._places[Node("mul", (self.gradients[index], normalised))]

    @cached_property
    def _places(self) -> dict[Node, int]:
        return {node: index for index, node in enumerate(self.nodes)}


def differentiate(program: Program) -> Derivative:
    """Derive the backward step of a program."""
    tape = _Tape(program)
    for state, output in zip(program.states, program.outputs, strict=True):
        tape.give(output, tape.add("gradient", name=state))
    for index in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[index]
        if index in tape.gradients and node.op in RULES:
            RULES[node.op](tape, node, index, tape.gradients[index])
    return _without_unused(Derivative(program, tuple(tape.nodes), tape.gradients))


def _without_unused(derivative: Derivative) -> Derivative:
    """The same without the nodes that no gradient depends on; the program's own keep their places."""
    nodes, first = derivative.nodes, len(derivative.program.nodes)
    needed = {*range(first), *derivative.gradients.values(), *derivative.norm_gains.values()}
    for index in range(len(nodes) - 1, first - 1, -1):
        if index in needed:
            needed.update(nodes[index].args)
    position = {old: new for new, old in enumerate(sorted(needed))}
    kept = tuple(
        replace(nodes[old], args=tuple(position[arg] for arg in nodes[old].args)) for old in sorted(needed)
    )
    gradients = {index: position[gradient] for index, gradient in derivative.gradients.items()}
    return Derivative(derivative.program, kept, gradients)


class _Tape(Builder):
    """The nodes of a derivative as it grows, and the gradients found so far."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        for node in program.nodes:
            self.add(node.op, *node.args, name=node.name, values=node.values)
        self.gradients: dict[int, int] = {}
        self._wanted: set[int] = set()
        for index, node in enumerate(program.nodes):
            leaf = node.op in ("state", "input", "hidden", "vector")
            through = node.op not in COMPARISONS and not self._wanted.isdisjoint(node.args)
            if leaf or through:
                self._wanted.add(index)

    def wants(self, index: int) -> bool:
        """Whether anything that has a gradient enters the node."""
        return index in self._wanted

    def give(self, index: int, gradient: int) -> None:
        """Add to the gradient of a node, if it has one."""
        if not self.wants(index):
            return
        known = self.gradients.get(index)
        if known is None:
            self.gradients[index] = gradient
        elif self.nodes[gradient].op == "neg":
            self.gradients[index] = self.add("sub", known, *self.nodes[gradient].args)
        elif self.nodes[known].op == "neg":
            self.gradients[index] = self.add("sub", gradient, *self.nodes[known].args)
        else:
            self.gradients[index] = self.add("add", known, gradient)

    def number(self, value: float) -> int:
        return self.add("constant", values=(value,))

    def times(self, gradient: int, factor: int) -> int:
        """Their product; a factor of 1 is left out."""
        one = self.nodes[factor].op == "constant" and self.nodes[factor].values == (1.0,)
        return gradient if one else self.add("mul", gradient, factor)

    def where(self, condition: tuple[str, int, int], yes: int, no: int) -> int:
        return self.add("where", self.add(*condition), yes, no)


Rule = Callable[[_Tape, Node, int, int], None]


def _add(tape: _Tape, node: Node, y: int, d: int) -> None:
    for operand in node.args:
        tape.give(operand, d)


def _sub(tape: _Tape, node: Node, y: int, d: int) -> None:
    tape.give(node.args[0], d)
    if tape.wants(node.args[1]):
        tape.give(node.args[1], tape.add("neg", d))


def _mul(tape: _Tape, node: Node, y: int, d: int) -> None:
    a, b = node.args
    for operand, other in ((a, b), (b, a)):
        if tape.wants(operand):
            tape.give(operand, tape.times(d, other))


def _div(tape: _Tape, node: Node, y: int, d: int) -> None:
    a, b = node.args
    if tape.wants(a):
        tape.give(a, tape.add("div", d, b))
    if tape.wants(b):
        tape.give(b, tape.add("neg", tape.add("mul", d, tape.add("div", y, b))))


def _pow(tape: _Tape, node: Node, y: int, d: int) -> None:
    base, exponent = node.args
    zero = tape.number(0.0)
    if tape.wants(base):
        constant = tape.nodes[exponent]
        if constant.op == "constant":
            (power,) = constant.values
            assert power is not None
            if power != 0.0:
                lowered = base if power == 2.0 else tape.add("pow", base, tape.number(power - 1.0))
                slope = lowered if power == 1.0 else tape.add("mul", exponent, lowered)
                tape.give(base, d if power == 1.0 else tape.times(d, slope))
        else:
            lowered = tape.add("pow", base, tape.add("sub", exponent, tape.number(1.0)))
            slope = tape.add("mul", exponent, lowered)
            tape.give(base, tape.where(("eq", exponent, zero), zero, tape.add("mul", d, slope)))
    if tape.wants(exponent):
        slope = tape.add("mul", y, tape.add("log", base))
        # 0 to a power of 0 or more does not change with the power; its logarithm is not to be taken.
        at_zero = tape.where(("ge", exponent, zero), zero, slope)
        if tape.nodes[base].op != "constant":
            slope = tape.where(("eq", base, zero), at_zero, slope)
        elif tape.nodes[base].values[0] == 0.0:
            slope = at_zero
        tape.give(exponent, tape.add("mul", d, slope))


def _neg(tape: _Tape, node: Node, y: int, d: int) -> None:
    tape.give(node.args[0], tape.add("neg", d))


def _sigmoid(tape: _Tape, node: Node, y: int, d: int) -> None:
    complement = tape.add("sub", tape.number(1.0), y)
    tape.give(node.args[0], tape.add("mul", tape.add("mul", d, y), complement))


def _tanh(tape: _Tape, node: Node, y: int, d: int) -> None:
    slope = tape.add("sub", tape.number(1.0), tape.add("pow", y, tape.number(2.0)))
    tape.give(node.args[0], tape.add("mul", d, slope))


def _relu(tape: _Tape, node: Node, y: int, d: int) -> None:
    zero = tape.number(0.0)
    tape.give(node.args[0], tape.where(("le", node.args[0], zero), zero, d))  # at NaN the gradient passes


def _exp(tape: _Tape, node: Node, y: int, d: int) -> None:
    tape.give(node.args[0], tape.add("mul", d, y))


def _log(tape: _Tape, node: Node, y: int, d: int) -> None:
    tape.give(node.args[0], tape.add("div", d, node.args[0]))


def _softplus(tape: _Tape, node: Node, y: int, d: int) -> None:
    (x,) = node.args
    # Above 20 PyTorch takes the function to be its argument.
    slope = tape.add("mul", d, tape.add("sigmoid", x))
    tape.give(x, tape.where(("gt", x, tape.number(20.0)), d, slope))


def _abs(tape: _Tape, node: Node, y: int, d: int) -> None:
    (x,) = node.args
    zero = tape.number(0.0)
    below = tape.where(("lt", x, zero), tape.number(-1.0), zero)
    sign = tape.where(("gt", x, zero), tape.number(1.0), below)
    tape.give(x, tape.add("mul", d, sign))


def _sqrt(tape: _Tape, node: Node, y: int, d: int) -> None:
    tape.give(node.args[0], tape.add("div", d, tape.add("mul", tape.number(2.0), y)))


def _extreme(loses: str) -> Rule:
    """Maximum or minimum. An operand that compares by `loses` ("lt" or "gt") with the other one gets no gradient.

    At a tie each operand gets half of the gradient; where one of them is NaN, both get the whole gradient.
    """

    def rule(tape: _Tape, node: Node, y: int, d: int) -> None:
        a, b = node.args
        zero = tape.number(0.0)
        half = tape.add("mul", d, tape.number(0.5))
        for operand, other in ((a, b), (b, a)):
            if tape.wants(operand):
                whole = tape.where((loses, operand, other), zero, d)
                tape.give(operand, tape.where(("eq", operand, other), half, whole))

    return rule


def _clamp(tape: _Tape, node: Node, y: int, d: int) -> None:
    (x,) = node.args
    zero = tape.number(0.0)
    for comparison, bound in zip(("ge", "le"), node.values, strict=True):
        if bound is not None:
            d = tape.where((comparison, x, tape.number(bound)), d, zero)
    tape.give(x, d)


def _where(tape: _Tape, node: Node, y: int, d: int) -> None:
    condition, a, b = node.args
    zero = tape.number(0.0)
    if tape.wants(a):
        tape.give(a, tape.add("where", condition, d, zero))
    if tape.wants(b):
        tape.give(b, tape.add("where", condition, zero, d))


def _hidden(tape: _Tape, node: Node, y: int, d: int) -> None:
    if tape.wants(node.args[0]):
        tape.give(node.args[0], tape.add("transposed", d, name=node.name))


def _norm(tape: _Tape, node: Node, y: int, d: int) -> None:
    """Layer normalisation (Ba, Kiros & Hinton 2016)."""
    (x,) = node.args
    normalised = tape.add("normalised", x)
    tape.add("mul", d, normalised)  # the gain's gradient
    scaled = tape.add("mul", d, tape.add("gain", name=node.name))
    along = tape.add("mean", tape.add("mul", scaled, normalised))
    centred = tape.add("sub", scaled, tape.add("mean", scaled))
    inner = tape.add("sub", centred, tape.add("mul", normalised, along))
    tape.give(x, tape.add("mul", inner, tape.add("inverse_deviation", x)))


# By operation: give each operand its part of the gradient `d` of the node, whose own place is `y`.
RULES: dict[str, Rule] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "neg": _neg,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
    "exp": _exp,
    "log": _log,
    "softplus": _softplus,
    "abs": _abs,
    "sqrt": _sqrt,
    "maximum": _extreme("lt"),
    "minimum": _extreme("gt"),
    "clamp": _clamp,
    "where": _where,
    "hidden": _hidden,
    "norm": _norm,
}
