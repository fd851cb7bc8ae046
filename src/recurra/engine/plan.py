"""From a program to stages: what a generated kernel computes at one step, and in which order.

A product with hidden weights, and a mean over the hidden units, needs its operand for all units before it can
begin. So the nodes of a step fall into levels; a *stage* is one level: first the products, accumulated in
registers, then the pointwise operations that use them, then what is stored. The backward step is planned in
the same way as the forward one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from recurra.cells.derivative import differentiate
from recurra.cells.equations import labels
from recurra.cells.program import BINARY, COMPARISONS, Builder, Node, Program
from recurra.engine.lower import lower

# Besides `hidden` and `transposed`: `input` with an operand, and `affine`, both halves of a gate in one sum.
PRODUCTS = ("hidden", "transposed", "input_product", "affine")
LEAVES = ("state", "x", "constant", "input", "vector", "mask", "step_mask")
# What is written between its operands, in C++ as in Triton.
INFIX = {op: sign for op, sign in BINARY.items() if op != "pow"} | COMPARISONS
# Where a node's value lies in memory: ("state", name) is a state before the step, ("new", name) one after it, and
# ("saved", number) what the forward pass saves for the backward one.
Place = tuple[str, str]
# Cheaper to compute again in the backward pass than to keep.
CHEAP = ("add", "sub", "mul", "neg", "relu", "abs", "maximum", "minimum", "clamp", "where", *COMPARISONS)


@dataclass(frozen=True)
class Term:
    """One product that is accumulated: a gate's block of a weight matrix times an operand.

    Attributes:
        sum: the node into which it is accumulated.
        operand: the node of its operand.
        gate: whose weights.
        matrix: "hidden", "transposed" (the hidden one, transposed) or "input".
    """

    sum: int
    operand: int
    gate: str
    matrix: str


@dataclass
class Stage:
    """One level of a step.

    Attributes:
        terms: products, in groups of equal operands.
        means: nodes that are means over the hidden units, taken before the stage begins.
        body: pointwise nodes in order of computation.
        kept: nodes of the body that later stages read.
    """

    terms: list[Term] = field(default_factory=list)
    means: list[int] = field(default_factory=list)
    body: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)

    @property
    def sums(self) -> list[int]:
        """The accumulated nodes, in order."""
        return list(dict.fromkeys(term.sum for term in self.terms))

    @property
    def operands(self) -> list[int]:
        """The operands of its products, in order."""
        return list(dict.fromkeys(term.operand for term in self.terms))


@dataclass
class Plan:
    """The stages of one direction of a step.

    Attributes:
        nodes: lowered nodes.
        stages: in order.
        targets: what is stored for the caller, by what it is: ("state", 0) and so on.
        sources: nodes that are read from memory instead of computed, by what they are.
    """

    nodes: tuple[Node, ...]
    stages: list[Stage]
    targets: dict[tuple[str, str], int]
    sources: dict[int, Place]

    @property
    def kept(self) -> list[int]:
        """Every node that is handed from stage to stage."""
        return [index for stage in self.stages for index in stage.kept]

    @property
    def means(self) -> list[int]:
        """Every mean."""
        return [index for stage in self.stages for index in stage.means]

    def is_condition(self, index: int) -> bool:
        """Whether a node is true or false."""
        return self.nodes[index].op in COMPARISONS

    def stored(self, number: int) -> list[tuple[tuple[str, str], int]]:
        """The targets that a stage stores; what no stage computes is stored by the last."""
        return self._stores[number]

    @cached_property
    def _stores(self) -> list[list[tuple[tuple[str, str], int]]]:
        homes = {index: place for place, one in enumerate(self.stages) for index in (*one.body, *one.sums)}
        stores: list[list[tuple[tuple[str, str], int]]] = [[] for _ in self.stages]
        for key, index in self.targets.items():
            stores[homes.get(index, len(self.stages) - 1)].append((key, index))
        return stores


@dataclass
class StepPlan:
    """Both directions of a program's step, and what the first keeps for the second."""

    program: Program
    forward: Plan
    backward: Plan
    saved: tuple[int, ...]  # nodes [B, T, H] of the forward plan
    labels: dict[int, str]  # equations of named values, by node
    operands: dict[str, Place]  # by gate: where the operand of its hidden weights lies
    hidden_apart: bool  # the gradients of the hidden halves differ from those of the input halves


def vectors(program: Program) -> list[str]:
    """The names of the per-unit parameters."""
    norms = [f"norm_{name}_{part}" for name in program.norms for part in ("gain", "shift")]
    biases = [f"hidden_bias_{gate}" for gate in program.hidden_bias_gates if program.has_bias]
    return [f"vector_{name}" for name in program.vectors] + norms + biases


def plan(program: Program) -> StepPlan:
    """Plan a program's step, forwards and backwards."""
    derivative = differentiate(program)
    nodes, position = lower(derivative.nodes, program.hidden_bias_gates if program.has_bias else ())
    outputs = {("new", state): position[i] for state, i in zip(program.states, program.outputs, strict=True)}
    gradients: dict[tuple[str, str], int] = {}
    for kind, names in (
        ("input", program.input_gates),
        ("hidden", program.hidden_gates),
        ("state", program.states),
    ):
        for name in names:
            place = derivative.of(kind, name)
            if place is not None:
                gradients[f"d_{kind}", name] = position[place]
            elif kind == "state":
                nodes.append(Node("constant", values=(0.0,)))
                gradients["d_state", name] = len(nodes) - 1
    per_unit = [("vector", name, f"vector_{name}") for name in program.vectors]
    if program.has_bias:
        per_unit += [("hidden", gate, f"hidden_bias_{gate}") for gate in program.hidden_bias_gates]
    for kind, name, parameter in per_unit:
        place = derivative.of(kind, name)
        if place is not None:
            gradients["vector", parameter] = position[place]
    for part, places in (("gain", derivative.norm_gains), ("shift", derivative.norm_shifts)):
        for name, place in places.items():
            gradients["vector", f"norm_{name}_{part}"] = position[place]

    operands = {gate: position[product.operand] for product in program.products for gate in product.gates}
    nodes, gradients = _gather_products(nodes, gradients)
    first = max(position[index] for index in range(len(program.nodes))) + 1
    sources = _choose_saved(nodes, first, gradients, outputs, set(operands.values()))
    saved = tuple(index for index, (kind, _) in sources.items() if kind == "saved")
    forward_targets = outputs | {("saved", str(number)): index for number, index in enumerate(saved)}
    same = program.input_gates == program.hidden_gates and all(
        gradients.get(("d_input", gate)) == gradients.get(("d_hidden", gate)) for gate in program.gates
    )
    if same:
        gradients = {key: place for key, place in gradients.items() if key[0] != "d_hidden"}
    return StepPlan(
        program,
        _stages(nodes, forward_targets, {}),
        _stages(nodes, gradients, sources),
        saved,
        {position[place]: text for place, text in labels(derivative).items()},
        {gate: _place(nodes, index, sources) for gate, index in operands.items()},
        not same,
    )


def _place(nodes: Sequence[Node], index: int, sources: Mapping[int, Place]) -> Place:
    """Where the operand of a product lies for the gradient of its weights."""
    return ("state", nodes[index].name) if nodes[index].op == "state" else sources[index]


def plan_streaming(program: Program) -> tuple[Plan, dict[int, str]]:
    """The forward step alone, the products with the input in it, and its labels."""
    lowered, position = lower(program.nodes, program.hidden_bias_gates if program.has_bias else ())
    uses = Counter(arg for node in lowered for arg in node.args)
    builder = Builder()
    x = builder.add("x")
    new: list[int] = []

    def biased(place: int, gate: str) -> int:
        return (
            builder.add("add", place, builder.add("vector", name=f"bias_{gate}"))
            if program.has_bias
            else place
        )

    for node in lowered:
        halves = [lowered[arg] for arg in node.args]
        whole = node.op == "add" and [(half.op, half.name) for half in halves] == [
            ("input", halves[0].name),
            ("hidden", halves[0].name),
        ]
        if whole and all(uses[arg] == 1 for arg in node.args):
            operand = new[halves[1].args[0]]
            new.append(biased(builder.add("affine", x, operand, name=halves[0].name), halves[0].name))
        elif node.op == "input":
            new.append(biased(builder.add("input_product", x, name=node.name), node.name))
        else:
            new.append(
                builder.add(node.op, *(new[arg] for arg in node.args), name=node.name, values=node.values)
            )
    outputs = {
        ("new", state): new[position[i]] for state, i in zip(program.states, program.outputs, strict=True)
    }
    texts = labels(differentiate(program))
    named = {new[position[place]]: texts[place] for place in range(len(program.nodes)) if place in texts}
    return _stages(builder.nodes, outputs, {}), named


def _gather_products(
    nodes: Sequence[Node], targets: Mapping[tuple[str, str], int]
) -> tuple[list[Node], dict[tuple[str, str], int]]:
    """Sums of transposed products become one node, so that they share one accumulator.

    Only products of one level, which nothing else uses, are gathered.
    """
    builder = Builder()
    builder.nodes = list(nodes)
    new_targets = dict(targets)
    uses = Counter(arg for index in _needed(nodes, targets.values(), {}) for arg in nodes[index].args)
    levels = _levels(nodes, range(len(nodes)), {})
    for key, root in targets.items():
        terms = list(_terms(nodes, root, uses))
        by_level: dict[int, list[int]] = {}
        for term in terms:
            if nodes[term].op == "transposed" and uses[term] == 1:
                by_level.setdefault(levels[term], []).append(term)
        gathered = [group for group in by_level.values() if len(group) > 1]
        if not gathered:
            continue
        inside = {term for group in gathered for term in group}
        parts = [term for term in terms if term not in inside]
        for group in gathered:
            names = " ".join(nodes[term].name for term in group)
            parts.append(builder.add("transposed", *(nodes[term].args[0] for term in group), name=names))
        total = parts[0]
        for part in parts[1:]:
            total = builder.add("add", total, part)
        new_targets[key] = total
    return builder.nodes, new_targets


def _terms(nodes: Sequence[Node], root: int, uses: Counter[int]) -> Iterator[int]:
    """What a sum consists of, sums inside it that nothing else uses taken apart, from left to right."""
    waiting = [root]
    while waiting:
        index = waiting.pop()
        if nodes[index].op == "add" and (index == root or uses[index] == 1):
            waiting += reversed(nodes[index].args)
        else:
            yield index


def _choose_saved(
    nodes: Sequence[Node],
    first: int,
    gradients: Mapping[tuple[str, str], int],
    outputs: Mapping[Place, int],
    operands: set[int],
) -> dict[int, Place]:
    """What the backward pass reads instead of computing: new states, and nodes that the forward pass saves."""
    sources = {index: key for key, index in outputs.items() if nodes[index].op != "constant"}
    wanted = operands | {index for index in gradients.values() if index < first}
    for index in _needed(nodes, gradients.values(), {}):
        if index >= first:
            wanted.update(arg for arg in nodes[index].args if arg < first)
    at_hand: set[int] = set()  # what the backward pass can read, or compute again by cheap operations
    saved = 0
    for index, node in enumerate(nodes[:first]):
        free = node.op in LEAVES and node.op != "input"
        again = node.op in CHEAP and at_hand.issuperset(node.args)
        operand = index in operands and node.op != "state"
        if index not in sources and index in wanted and (operand or not (free or again)):
            sources[index] = ("saved", str(saved))
            saved += 1
        if free or again or index in sources:
            at_hand.add(index)
    return sources


def _needed(nodes: Sequence[Node], targets: Iterable[int], sources: Mapping[int, object]) -> list[int]:
    """The nodes on which the targets depend, in order; what is a source depends on nothing."""
    needed, waiting = set(), list(targets)
    while waiting:
        index = waiting.pop()
        if index not in needed:
            needed.add(index)
            waiting += [] if index in sources else nodes[index].args
    return sorted(needed)


def _levels(nodes: Sequence[Node], needed: Iterable[int], sources: Mapping[int, object]) -> dict[int, int]:
    levels: dict[int, int] = {}
    for index in needed:
        node = nodes[index]
        before = [levels[arg] for arg in node.args if arg in levels] if index not in sources else []
        level = max(before, default=0)
        product = node.op in PRODUCTS and not all(_at_hand(nodes, arg) for arg in node.args)
        later = node.op in ("mean", "transposed") or product
        levels[index] = level + (later and index not in sources)
    return levels


def _stages(
    nodes: Sequence[Node], targets: Mapping[tuple[str, str], int], sources: Mapping[int, Place]
) -> Plan:
    needed = _needed(nodes, targets.values(), sources)
    levels = _levels(nodes, needed, sources)
    stages = [Stage() for _ in range(1 + max((levels[index] for index in needed), default=0))]
    for index in needed:
        node, stage = nodes[index], stages[levels[index]]
        if index in sources or node.op in LEAVES:
            continue
        if node.op in PRODUCTS:
            stage.terms += _terms_of(index, node)
        elif node.op == "mean":
            stage.means.append(index)
        else:
            stage.body.append(index)
    _keep(nodes, needed, levels, sources, stages)
    return Plan(tuple(nodes), stages, dict(targets), {i: s for i, s in sources.items() if i in needed})


def _terms_of(index: int, node: Node) -> list[Term]:
    if node.op == "transposed":
        gates = node.name.split(" ")
        return [Term(index, arg, gate, "transposed") for arg, gate in zip(node.args, gates, strict=True)]
    matrices = {"hidden": ("hidden",), "input_product": ("input",), "affine": ("input", "hidden")}[node.op]
    return [Term(index, arg, node.name, matrix) for arg, matrix in zip(node.args, matrices, strict=True)]


def _at_hand(nodes: Sequence[Node], index: int) -> bool:
    """Whether a product's operand is known before the step begins."""
    return nodes[index].op in ("state", "x")


def _keep(
    nodes: Sequence[Node],
    needed: Sequence[int],
    levels: Mapping[int, int],
    sources: Mapping[int, object],
    stages: Sequence[Stage],
) -> None:
    """Say what each stage hands to later ones: what they use, and operands of products and means."""
    used_later: set[int] = set()
    for index in needed:
        node = nodes[index]
        if index in sources:
            continue
        for arg in node.args:
            product = node.op in PRODUCTS and not _at_hand(nodes, arg)
            as_operand = node.op in ("mean", "transposed") or product
            in_memory = arg in sources or nodes[arg].op in LEAVES
            if as_operand or (levels[arg] < levels[index] and not in_memory):
                used_later.add(arg)
    for level, stage in enumerate(stages):
        stage.kept = [index for index in needed if index in used_later and levels[index] == level]
        stage.terms = [term for operand in stage.operands for term in stage.terms if term.operand == operand]
