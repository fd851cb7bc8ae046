"""How C++ spells the pointwise operations of a stage, for one vector of units; `stage_writer.py` says which they are.

`row` is a row and step of the batch, `b` the row, `first + r` its place in the slice, `j` the unit, `count` the units
that are left.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from recurra.cells.program import Program
from recurra.engine.plan import Plan
from recurra.engine.stage_writer import StageWriter


class Pointwise(StageWriter):
    """Writes the stages of one direction.

    Args:
        program: of the cell.
        plan: its stages.
        labels: equations to write beside the nodes that they define.
        values_saved: how many values a step saves.
    """

    def __init__(self, program: Program, plan: Plan, labels: Mapping[int, str], values_saved: int) -> None:
        super().__init__(program, plan, labels, plan.kept)
        self.values_saved = values_saved
        self.means = {index: number for number, index in enumerate(plan.means)}

    # --- statements and values --------------------------------------------------------------------

    def comment(self, text: str) -> str:
        """A line that does nothing."""
        return f"// {text}"

    def definition(self, name: str, value: str, condition: bool) -> str:
        """The line that defines a variable, a number or a condition."""
        return f"const {'mask' if condition else 'vec'} {name} = {value};"

    def read(self, place: str) -> str:
        """The value that lies at a place."""
        return f"load<TAIL>({place}, count)"

    def write(self, place: str, value: str) -> str:
        """The line that puts a value at a place."""
        return f"store<TAIL>({place}, {value}, count);"

    def add_to_sum(self, number: int, value: str) -> str:
        """The line that adds a value to the gradient of the per-unit parameter of that number."""
        place = f"c.p[P_sums] + (s.number * {len(self.vectors)} + {number}) * H + j"
        return self.write(place, f"{self.read(place)} + {value}")

    def when_saving(self, lines: Sequence[str]) -> Iterator[str]:
        """The lines, run only where the forward pass saves."""
        yield from (f"if (c.save) {line}" for line in lines)

    def number(self, value: float | None) -> str:
        """A number as an operand."""
        return f"splat({literal(value)})"

    def constant(self, value: float | None) -> str:
        """A number as the value of a variable."""
        return self.number(value)

    def per_unit(self, name: str) -> str:
        """The value of a per-unit parameter."""
        return self.read(f"c.p[P_{name}] + j")

    def mean(self, index: int) -> str:
        """The value of a mean that the stage has taken before it began."""
        return f"splat(s.means[{self.means[index]} * s.rows + first + r])"

    def is_true(self, value: str) -> str:
        """A condition: that a number in memory is not 0."""
        return f"{value} != splat(0)"

    def number_of(self, condition: str) -> str:
        """1 where a condition holds, otherwise 0."""
        return self.select(condition, "splat(1)", "splat(0)")

    def negative(self, value: str) -> str:
        """A value with the other sign."""
        return f"-{value}"

    def select(self, condition: str, yes: str, no: str) -> str:
        """One value or the other."""
        return f"select({condition}, {yes}, {no})"

    def call(self, op: str, operands: Sequence[str]) -> str:
        """Any other operation, a function of `vector.h`."""
        return f"v_{op}({', '.join(operands)})"

    # --- places -----------------------------------------------------------------------------------

    def slot(self, index: int) -> str:
        """A node that an earlier stage has written for later ones."""
        return f"{self.slot_row(index)} + j"

    def slot_row(self, index: int) -> str:
        """The same, from its first unit on."""
        return f"s.scratch + ({self.slots[index]} * s.rows + first + r) * s.padded"

    def old_state(self, name: str) -> str:
        """A state before the step."""
        return f"{self.old_state_row(name, 'b', 'row')} + j"

    @staticmethod
    def old_state_row(name: str, b: str, row: str) -> str:
        """The same, from its first unit on, for the row and the row and step that are named."""
        return f"(t ? c.p[P_states_{name}] + ({row} - 1) * H : c.p[P_initial_{name}] + {b} * H)"

    def new_state(self, name: str) -> str:
        """A state after the step."""
        return f"c.p[P_states_{name}] + row * H + j"

    def saved(self, number: int) -> str:
        """A value that the forward pass saves."""
        return self.gate_place("saved", self.values_saved, number)

    def gate_place(self, array: str, count: int, number: int) -> str:
        """The gate of that number in an array over `count` gates."""
        return f"c.p[P_{array}] + (row * {count} + {number}) * H + j"

    def mask(self, name: str) -> str:
        """A mask that holds for all steps."""
        return f"c.p[P_mask_{name}] + b * H + j"

    def step_mask(self, name: str) -> str:
        """A mask of this step."""
        return f"c.p[P_mask_{name}] + row * H + j"

    def carried(self, name: str) -> str:
        """The gradient that arrives at a new state from the step after."""
        return f"c.p[P_carry_{name}] + b * H + j"

    def carry(self, name: str) -> str:
        """The gradient for the step before, in the same memory."""
        return self.carried(name)

    def output_gradient(self) -> str:
        """The gradient that arrives at the output of this step."""
        return "c.p[P_d_output] + row * H + j"


def literal(value: float | None) -> str:
    """A number in C++, which has no literals for infinities and NaN."""
    assert value is not None
    if math.isnan(value):
        return "std::numeric_limits<real>::quiet_NaN()"
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}std::numeric_limits<real>::infinity()"
    return f"real({value!r})"
