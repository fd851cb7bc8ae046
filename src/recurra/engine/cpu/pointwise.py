"""The pointwise operations of a stage as lines of C++: what is loaded, computed and stored for one vector of units.

`row` is a row and step of the batch, `b` the row, `first + r` its place in the slice, `j` the unit, `count` the units
that are left, and a node of the plan is the variable `n<number>`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from recurra.cells.program import Node, Program
from recurra.engine.plan import INFIX, LEAVES, Plan


class Pointwise:
    """Writes the stages of one direction.

    Args:
        program: of the cell.
        plan: its stages.
        labels: equations to write beside the nodes that they define.
        vectors: the per-unit parameters, in the order of their sums.
        saved: how many values a step saves.
        backward: whether the plan is the derivative's.
    """

    def __init__(
        self,
        program: Program,
        plan: Plan,
        labels: Mapping[int, str],
        vectors: Sequence[str],
        saved: int,
        backward: bool,
    ) -> None:
        self.program, self.plan, self.labels = program, plan, labels
        self.vectors, self.saved, self.backward = vectors, saved, backward
        self.slots = {index: number for number, index in enumerate(plan.kept)}
        self.means = {index: number for number, index in enumerate(plan.means)}

    def lines(self, number: int) -> Iterator[str]:
        """The whole of a stage, after its products."""
        stage = self.plan.stages[number]
        at_hand, computed = set(stage.sums), {*stage.sums, *stage.body}
        stored = self.plan.stored(number)
        for index in [*stage.body, *stage.kept, *(index for _, index in stored)]:
            yield from self._define(index, computed, at_hand)
        for index in stage.kept:
            yield f"store<TAIL>({self.slot(index)} + j, {self._as_real(index)}, count);"
        for key, index in stored:
            yield from self._store(key, self._as_real(index))

    def _as_real(self, index: int) -> str:
        return f"select(n{index}, splat(1), splat(0))" if self.plan.is_condition(index) else f"n{index}"

    def _define(self, index: int, computed: set[int], at_hand: set[int]) -> Iterator[str]:
        """Lines that define a node, and what it reads from memory, unless they are there.

        Args:
            index: of the node; what is computed for it is there already.
            computed: the nodes that this stage computes itself.
            at_hand: the nodes that are there; grows.
        """
        if index in at_hand:
            return
        at_hand.add(index)
        node = self.plan.nodes[index]
        kind = "mask" if self.plan.is_condition(index) or node.op == "step_mask" else "vec"
        if index in self.plan.sources or node.op in LEAVES:
            yield f"const {kind} n{index} = {self._leaf(index, node)};"
        elif index in self.slots and index not in computed:
            value = f"load<TAIL>({self.slot(index)} + j, count)"
            yield f"const {kind} n{index} = {value}{' != splat(0)' if kind == 'mask' else ''};"
        elif index in self.means:
            yield f"const vec n{index} = splat(s.means[{self.means[index]} * s.rows + first + r]);"
        else:
            for arg in node.args:
                yield from self._define(arg, computed, at_hand)
            if index in self.labels:
                yield f"// {self.labels[index]}"
            yield f"const {kind} n{index} = {self._expression(node)};"

    def _leaf(self, index: int, node: Node) -> str:
        if index in self.plan.sources:
            kind, name = self.plan.sources[index]
            if kind == "new":
                return f"load<TAIL>(c.p[P_states_{name}] + row * H + j, count)"
            value = f"load<TAIL>({self._saved(name)}, count)"
            return f"{value} != splat(0)" if self.plan.is_condition(index) else value
        if node.op == "constant":
            return f"splat({literal(node.values[0])})"
        if node.op == "state":
            return f"load<TAIL>({self.old(node.name, 'b', 'row')} + j, count)"
        if node.op == "input":
            return f"load<TAIL>({self._rows_of('projected', node.name)}, count)"
        if node.op == "vector":
            return f"load<TAIL>(c.p[P_{node.name}] + j, count)"
        if node.op == "mask":
            return f"load<TAIL>(c.p[P_mask_{node.name}] + b * H + j, count)"
        return f"load<TAIL>(c.p[P_mask_{node.name}] + row * H + j, count) != splat(0)"

    def _expression(self, node: Node) -> str:
        if node.op == "gradient":
            carried = f"load<TAIL>(c.p[P_carry_{node.name}] + b * H + j, count)"
            arriving = "load<TAIL>(c.p[P_d_output] + row * H + j, count)"
            return f"{carried} + {arriving}" if node.name == self.program.states[0] else carried
        operands = [f"n{arg}" for arg in node.args]
        if node.op in INFIX:
            return f" {INFIX[node.op]} ".join(operands)
        if node.op == "neg":
            return f"-{operands[0]}"
        if node.op == "where":
            return f"select({', '.join(operands)})"
        if node.op == "clamp":
            low, high = node.values
            text = operands[0]
            if low is not None:
                text = f"select({text} < splat({literal(low)}), splat({literal(low)}), {text})"
            if high is not None:
                text = f"select({text} > splat({literal(high)}), splat({literal(high)}), {text})"
            return text
        return f"v_{node.op}({', '.join(operands)})"

    # --- stores -----------------------------------------------------------------------------------

    def _store(self, key: tuple[str, str], value: str) -> Iterator[str]:
        kind, name = key
        if kind == "new":
            yield f"store<TAIL>(c.p[P_states_{name}] + row * H + j, {value}, count);"
        elif kind == "saved":
            yield f"if (c.save) store<TAIL>({self._saved(name)}, {value}, count);"
        elif kind == "d_state":
            yield f"store<TAIL>(c.p[P_carry_{name}] + b * H + j, {value}, count);"
        elif kind == "vector":
            number = self.vectors.index(name)
            place = f"c.p[P_sums] + (s.number * {len(self.vectors)} + {number}) * H + j"
            yield f"store<TAIL>({place}, load<TAIL>({place}, count) + {value}, count);"
        else:
            array = "d_projected" if kind == "d_input" else "d_hidden"
            yield f"store<TAIL>({self._rows_of(array, name)}, {value}, count);"

    def slot(self, index: int) -> str:
        """Where a node that later stages read lies, for row `first + r`."""
        return f"s.scratch + ({self.slots[index]} * s.rows + first + r) * s.padded"

    def _saved(self, number: str) -> str:
        return f"c.p[P_saved] + (row * {self.saved} + {number}) * H + j"

    def _rows_of(self, array: str, gate: str) -> str:
        """Where a gate lies in an array over the gates that have an input half, or a hidden one."""
        gates = self.program.hidden_gates if array == "d_hidden" else self.program.input_gates
        return f"c.p[P_{array}] + (row * {len(gates)} + {gates.index(gate)}) * H + j"

    @staticmethod
    def old(state: str, b: str, row: str) -> str:
        """Where a state lies as it was before the step."""
        return f"(t ? c.p[P_states_{state}] + ({row} - 1) * H : c.p[P_initial_{state}] + {b} * H)"


def literal(value: float | None) -> str:
    """A number in C++, which has no literals for infinities and NaN."""
    assert value is not None
    if math.isnan(value):
        return "std::numeric_limits<real>::quiet_NaN()"
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}std::numeric_limits<real>::infinity()"
    return f"real({value!r})"
