"""Program: what one time step of a cell computes, as a list of operations.

`trace.py` makes a program out of a cell's `step`; the engine runs it through time; `derivative.py` takes it
backwards and `equations.py` prints both. A program is a plain value: it knows no tensors, sizes or devices.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

# What may stand in a program besides its leaves. PyTorch's functions of the same names define the values,
# and their derivatives at ties and kinks.
BINARY = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**"}
COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
UNARY = ("neg", "sigmoid", "tanh", "relu", "exp", "log", "softplus", "abs", "sqrt")
COMMUTATIVE = ("add", "mul", "maximum", "minimum", "eq", "ne")
COMPUTED = (  # properties of a program that running it asks for
    "input_gates", "hidden_gates", "vectors", "norms", "masks", "products", "gate_values", "canonical", "key",
)  # fmt: skip
LINEAR = ("add", "sub", "mul", "neg", "norm")  # what a gate may flow through before its nonlinear function


@dataclass(frozen=True, eq=False)
class Node:
    """One operation. Equal ones have equal attributes, where NaN equals NaN, and 0.0 differs from -0.0.

    Attributes:
        op: a leaf (`state`, `constant`, `input`, `vector`, `mask`, `step_mask`), a product (`hidden`),
            a row reduction (`norm`), or a pointwise operation (`BINARY`, `COMPARISONS`, `UNARY`,
            `maximum`, `minimum`, `clamp`, `where`).
        args: the positions of its operands in `Program.nodes`, all before its own.
        name: of the state, gate, vector, norm or mask; empty for pointwise operations.
        values: the number of a `constant`; the lower and upper bound of a `clamp`, either may be None.
    """

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    values: tuple[float | None, ...] = ()

    @cached_property
    def _identity(self) -> tuple[str, tuple[int, ...], str, str]:
        return self.op, self.args, self.name, repr(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)


class Builder:
    """A growing list of nodes in which equal operations are one."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[Node, int] = {}

    def add(self, op: str, *args: int, name: str = "", values: tuple[float | None, ...] = ()) -> int:
        """The position of this operation, appended unless it is there already."""
        node = Node(op, args, name, values)
        if node not in self._known:
            self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return self._known[node]


@dataclass(frozen=True)
class Product:
    """One product with hidden weights: the operand's position and the gates it feeds, in row order."""

    operand: int
    gates: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """The operations of one time step.

    Attributes:
        gates: in the order of the rows of the weight matrices.
        states: names of the states; the first is the output.
        nodes: operations, operands first.
        outputs: positions of the new states.
        hidden_bias_gates: gates whose hidden half has a bias of its own.
        has_bias: whether the halves carry biases at all.
    """

    gates: tuple[str, ...]
    states: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    hidden_bias_gates: tuple[str, ...] = ()
    has_bias: bool = True

    def __post_init__(self) -> None:
        for name in COMPUTED:
            getattr(self, name)  # now: torch.compile does not see into a cached property

    # --- what the parameters are ------------------------------------------------------------------

    @cached_property
    def input_gates(self) -> tuple[str, ...]:
        """Gates with rows in `input_weight` (and in `bias`)."""
        return self._in_order("input")

    @cached_property
    def hidden_gates(self) -> tuple[str, ...]:
        """Gates with rows in `hidden_weight`."""
        return self._in_order("hidden")

    @cached_property
    def vectors(self) -> tuple[str, ...]:
        """Names of the per-unit vectors, in order of use."""
        return self._names_of("vector")

    @cached_property
    def norms(self) -> tuple[str, ...]:
        """Names of the layer norms, in order of use."""
        return self._names_of("norm")

    @cached_property
    def masks(self) -> tuple[str, ...]:
        """Names of the masks that the caller passes in."""
        return self._names_of("mask") + self._names_of("step_mask")

    def _names_of(self, op: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node.name for node in self.nodes if node.op == op))

    def _in_order(self, op: str) -> tuple[str, ...]:
        used = self._names_of(op)
        return tuple(gate for gate in self.gates if gate in used)

    @cached_property
    def products(self) -> tuple[Product, ...]:
        """The products with hidden weights, one per operand, in the order in which they can run."""
        gates: dict[int, set[str]] = {}
        for node in self.nodes:
            if node.op == "hidden":
                gates.setdefault(node.args[0], set()).add(node.name)
        return tuple(
            Product(operand, tuple(gate for gate in self.hidden_gates if gate in fed))
            for operand, fed in gates.items()
        )

    # --- gates as values --------------------------------------------------------------------------

    @cached_property
    def gate_values(self) -> dict[str, tuple[int, ...]]:
        """For each gate the nodes whose sum is its value.

        The output of the first nonlinear function that the gate's affine flows into, through + − ×,
        vectors and norm; where there is none, or more than one, the pre-activation (its two halves).
        """
        values = {}
        for gate in self.gates:
            halves = tuple(
                i for i, node in enumerate(self.nodes) if node.name == gate and node.op in ("input", "hidden")
            )
            reached, nonlinear = set(halves), []
            for index, node in enumerate(self.nodes):
                if reached.isdisjoint(node.args) or node.op in ("input", "hidden"):
                    continue
                # A mask that zoneout has put in selects values; it is not a function of the gate.
                masked = node.op == "where" and self.nodes[node.args[0]].op == "step_mask"
                if node.op in LINEAR or masked:
                    reached.add(index)
                else:
                    nonlinear.append(index)
            values[gate] = (nonlinear[0],) if len(nonlinear) == 1 else halves
        return values

    @cached_property
    def gate_kinds(self) -> dict[str, str]:
        """For each gate the function its value comes from: "sigmoid", "tanh", ...; "none" for a pre-activation."""
        return {
            gate: "none" if self.nodes[nodes[0]].op in ("input", "hidden") else self.nodes[nodes[0]].op
            for gate, nodes in self.gate_values.items()
        }

    # --- identity ---------------------------------------------------------------------------------

    @cached_property
    def canonical(self) -> str:
        """The same for programs that compute the same by the same operations.

        Gates, states, vectors and norms count by position and not by name (vectors and norms in order of
        use), operands of commutative operations in any order; the biases do not count, since a missing one
        is a zero.
        """
        named = {"g": self.gates, "s": self.states, "vector": self.vectors, "norm": self.norms}
        index = {(kind, name): f"{kind}{i}" for kind, names in named.items() for i, name in enumerate(names)}
        kinds = {"input": "g", "hidden": "g", "state": "s"}
        forms: list[str] = []
        for node in self.nodes:
            name = index.get((kinds.get(node.op, node.op), node.name), node.name)
            operands = [forms[i] for i in node.args]
            if node.op in COMMUTATIVE:
                operands.sort()
            form = f"{node.op}:{name}{list(node.values) or ''}({','.join(operands)})"
            forms.append(hashlib.sha256(form.encode()).hexdigest())
        return ";".join(forms[i] for i in self.outputs)

    @cached_property
    def key(self) -> str:
        """The whole program as text, from which `from_key` makes it again."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_key(cls, key: str) -> Program:
        """The program of which this is the key."""
        fields = json.loads(key)
        nodes = tuple(
            Node(node["op"], tuple(node["args"]), node["name"], tuple(node["values"]))
            for node in fields.pop("nodes")
        )
        listed = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(nodes=nodes, **{**fields, **listed})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the program, which a run keeps to know its cell again."""
        return hashlib.sha256(self.key.encode()).hexdigest()
