"""What generated code does in a stage after its products, in any language.

`StageWriter` knows what is computed, in which order, and what lies in memory. A language is a subclass that knows how
each thing is spelled and where it lies: `cpu/pointwise.py` is C++, `gpu/emit.py` Triton. The order of a stage:

1. Each node of the stage is defined, after what it needs: leaves, values of earlier stages, means.
2. What later stages read is written to memory of the kernel.
3. What the caller asks for is written to the caller's memory; last what is saved for the backward pass.

A node of the plan is the variable `n<number>`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence

from recurra.cells.program import Node, Program
from recurra.engine.plan import INFIX, LEAVES, Plan, vectors


class StageWriter(ABC):
    """Writes the stages of one direction.

    Args:
        program: of the cell.
        plan: its stages.
        labels: equations to write beside the nodes that they define.
        slots: the nodes that go from one stage to a later one through memory of their own, in order.
        defined: nodes that every stage finds defined.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        labels: Mapping[int, str],
        slots: Sequence[int],
        defined: Collection[int] = (),
    ) -> None:
        self.program, self.plan, self.labels = program, plan, labels
        self.vectors = vectors(program)  # the per-unit parameters, in the order of their sums
        self.slots = {index: number for number, index in enumerate(slots)}
        self.defined = frozenset(defined)

    def pointwise(self, number: int) -> Iterator[str]:
        """The lines of a stage after its products."""
        stage = self.plan.stages[number]
        known, computed = {*stage.sums, *self.defined}, {*stage.sums, *stage.body}
        stored = self.plan.stored(number)
        for index in [*stage.body, *stage.kept, *(index for _, index in stored)]:
            yield from self._define(index, computed, known)
        for index in stage.kept:
            if index in self.slots:
                yield self.write(self.slot(index), self._as_number(index))
        for key, index in stored:
            if key[0] != "saved":
                yield self._store(key, self._as_number(index))
        yield from self.when_saving(
            [
                self.write(self.saved(int(key[1])), self._as_number(index))
                for key, index in stored
                if key[0] == "saved"
            ]
        )

    def _as_number(self, index: int) -> str:
        return self.number_of(f"n{index}") if self.plan.is_condition(index) else f"n{index}"

    def _define(self, index: int, computed: Collection[int], known: set[int]) -> Iterator[str]:
        """The lines that define a node and what it needs, unless it is known.

        Args:
            index: of the node.
            computed: the nodes that this stage computes itself.
            known: the nodes that are defined already; grows.
        """
        if index in known:
            return
        known.add(index)
        node = self.plan.nodes[index]
        if index in self.plan.sources or node.op in LEAVES:
            value = self._leaf(index, node)
        elif index not in computed and self.in_memory(index):
            value = self._read(index, self.slot(index))
        elif node.op == "mean":
            value = self.mean(index)
        else:
            for arg in node.args:
                yield from self._define(arg, computed, known)
            if index in self.labels:
                yield self.comment(self.labels[index])
            value = self._expression(node)
        condition = self.plan.is_condition(index) or node.op == "step_mask"
        yield self.definition(f"n{index}", value, condition)

    def _read(self, index: int, place: str) -> str:
        value = self.read(place)
        return self.is_true(value) if self.plan.is_condition(index) else value

    def _leaf(self, index: int, node: Node) -> str:
        """What lies in memory before the step, or was kept by the forward pass."""
        if index in self.plan.sources:
            kind, name = self.plan.sources[index]
            return self._read(index, self.new_state(name) if kind == "new" else self.saved(int(name)))
        if node.op == "constant":
            return self.constant(node.values[0])
        if node.op == "vector":
            return self.per_unit(node.name)
        if node.op == "state":
            return self.read(self.old_state(node.name))
        if node.op == "input":
            return self.read(self.gate("projected", node.name))
        if node.op == "mask":
            return self.read(self.mask(node.name))
        return self.is_true(self.read(self.step_mask(node.name)))

    def _expression(self, node: Node) -> str:
        if node.op == "gradient":
            carried = self.read(self.carried(node.name))
            first = node.name == self.program.states[0]
            return f"{carried} + {self.read(self.output_gradient())}" if first else carried
        operands = [f"n{arg}" for arg in node.args]
        if node.op in INFIX:
            return f" {INFIX[node.op]} ".join(operands)
        if node.op == "neg":
            return self.negative(*operands)
        if node.op == "where":
            return self.select(*operands)
        if node.op == "clamp":
            text = operands[0]
            for sign, bound in zip("<>", node.values, strict=True):
                if bound is not None:
                    number = self.number(bound)
                    text = self.select(f"{text} {sign} {number}", number, text)
            return text
        return self.call(node.op, operands)

    def _store(self, key: tuple[str, str], value: str) -> str:
        kind, name = key
        if kind == "new":
            return self.write(self.new_state(name), value)
        if kind == "d_state":
            return self.write(self.carry(name), value)
        if kind == "vector":
            return self.add_to_sum(self.vectors.index(name), value)
        return self.write(self.gate("d_projected" if kind == "d_input" else "d_hidden", name), value)

    def gate(self, array: str, gate: str) -> str:
        """Where a gate lies in an array over the gates that have an input half or, in `d_hidden`, a hidden one."""
        gates = self.program.hidden_gates if array == "d_hidden" else self.program.input_gates
        return self.gate_place(array, len(gates), gates.index(gate))

    def in_memory(self, index: int) -> bool:
        """Whether an earlier stage has written a node where `slot` says."""
        return index in self.slots

    # --- how a language spells statements and values ----------------------------------------------

    @abstractmethod
    def comment(self, text: str) -> str:
        """A line that does nothing."""

    @abstractmethod
    def definition(self, name: str, value: str, condition: bool) -> str:
        """The line that defines a variable, a number or a condition."""

    @abstractmethod
    def read(self, place: str) -> str:
        """The value that lies at a place."""

    @abstractmethod
    def write(self, place: str, value: str) -> str:
        """The line that puts a value at a place."""

    @abstractmethod
    def add_to_sum(self, number: int, value: str) -> str:
        """The line that adds a value to the gradient of the per-unit parameter of that number."""

    @abstractmethod
    def when_saving(self, lines: Sequence[str]) -> Iterator[str]:
        """The lines, run only where the forward pass saves."""

    @abstractmethod
    def number(self, value: float | None) -> str:
        """A number as an operand."""

    @abstractmethod
    def constant(self, value: float | None) -> str:
        """A number as the value of a variable."""

    @abstractmethod
    def per_unit(self, name: str) -> str:
        """The value of a per-unit parameter."""

    @abstractmethod
    def mean(self, index: int) -> str:
        """The value of a mean that the stage has taken before it began."""

    @abstractmethod
    def is_true(self, value: str) -> str:
        """A condition: that a number in memory is not 0."""

    @abstractmethod
    def number_of(self, condition: str) -> str:
        """1 where a condition holds, otherwise 0."""

    @abstractmethod
    def negative(self, value: str) -> str:
        """A value with the other sign."""

    @abstractmethod
    def select(self, condition: str, yes: str, no: str) -> str:
        """One value or the other."""

    @abstractmethod
    def call(self, op: str, operands: Sequence[str]) -> str:
        """Any other operation."""

    # --- where things lie -------------------------------------------------------------------------

    @abstractmethod
    def slot(self, index: int) -> str:
        """A node that an earlier stage has written for later ones."""

    @abstractmethod
    def old_state(self, name: str) -> str:
        """A state before the step."""

    @abstractmethod
    def new_state(self, name: str) -> str:
        """A state after the step."""

    @abstractmethod
    def saved(self, number: int) -> str:
        """A value that the forward pass saves."""

    @abstractmethod
    def gate_place(self, array: str, count: int, number: int) -> str:
        """The gate of that number in an array over `count` gates."""

    @abstractmethod
    def mask(self, name: str) -> str:
        """A mask that holds for all steps."""

    @abstractmethod
    def step_mask(self, name: str) -> str:
        """A mask of this step."""

    @abstractmethod
    def carried(self, name: str) -> str:
        """The gradient that arrives at a new state from the step after."""

    @abstractmethod
    def carry(self, name: str) -> str:
        """The gradient for the step before."""

    @abstractmethod
    def output_gradient(self) -> str:
        """The gradient that arrives at the output of this step."""
