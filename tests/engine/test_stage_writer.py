"""Stages written in a third language, Python over tensors, and run: what the writer orders is enough to compute a step.

B batch, H hidden.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import cases
import literature
from recurra.cells import CELLS
from recurra.cells.cell import NORM_EPSILON
from recurra.cells.transform import with_recurrent_dropout, with_zoneout
from recurra.engine.inputs import per_unit_parameters
from recurra.engine.plan import Plan, plan
from recurra.engine.reference import OneStep
from recurra.engine.stage_writer import StageWriter

INPUT, HIDDEN, BATCH = 3, 5, 4
NAMES = {
    name: getattr(torch, name) for name in ("sigmoid", "tanh", "relu", "exp", "log", "sqrt", "abs", "pow")
}
NAMES |= {"maximum": torch.maximum, "minimum": torch.minimum, "softplus": functional.softplus}
NAMES |= {
    "inverse_root": lambda x: (x + NORM_EPSILON).rsqrt(),
    "torch": torch,
    "nan": math.nan,
    "inf": math.inf,
}


class Python(StageWriter):
    """Places are the values of a dict, `memory`."""

    def comment(self, text):
        return f"# {text}"

    def definition(self, name, value, condition):
        return f"{name} = {value}; assert ({name}.dtype == torch.bool) == {condition}"

    def read(self, place):
        return f"memory[{place}]"

    def write(self, place, value):
        return f"memory[{place}] = ({value}).expand({BATCH}, {HIDDEN})"

    def add_to_sum(self, number, value):
        return f"memory['sums'][{number}] += ({value}).expand({BATCH}, {HIDDEN}).sum(0)"

    def when_saving(self, lines):
        for line in lines:
            yield f"if save: {line}"

    def number(self, value):
        return f"torch.tensor({value!r}, dtype=torch.float64)"

    def constant(self, value):
        return self.number(value)

    def per_unit(self, name):
        return f"memory['{name}']"

    def mean(self, index):
        return f"mean({index})"

    def is_true(self, value):
        return f"({value} != 0)"

    def number_of(self, condition):
        return f"{condition}.double()"

    def negative(self, value):
        return f"-{value}"

    def select(self, condition, yes, no):
        return f"torch.where({condition}, {yes}, {no})"

    def call(self, op, operands):
        return f"{op}({', '.join(operands)})"

    def slot(self, index):
        return f"'slot {self.slots[index]}'"

    def old_state(self, name):
        return f"'old {name}'"

    def new_state(self, name):
        return f"'new {name}'"

    def saved(self, number):
        return f"'saved {number}'"

    def gate_place(self, array, count, number):
        return f"'{array} {number} of {count}'"

    def mask(self, name):
        return f"'mask {name}'"

    def step_mask(self, name):
        return f"'mask {name}'"

    def carried(self, name):
        return f"'carried {name}'"

    def carry(self, name):
        return f"'carry {name}'"

    def output_gradient(self):
        return "'d_output'"


def run(writer: Python, plan: Plan, memory: dict, weights: dict[str, Tensor], save: bool) -> None:
    """The stages one after the other: products and means here, the rest by what is written."""

    def at(index: int) -> Tensor:
        node = plan.nodes[index]
        return memory[f"old {node.name}" if node.op == "state" else f"slot {writer.slots[index]}"]

    def mean(index: int) -> Tensor:
        return at(plan.nodes[index].args[0]).mean(1, keepdim=True)

    for number, stage in enumerate(plan.stages):
        names = {f"n{index}": torch.zeros(BATCH, HIDDEN).double() for index in stage.sums}
        for term in stage.terms:
            weight = weights[term.gate].T if term.matrix == "hidden" else weights[term.gate]
            names[f"n{term.sum}"] = names[f"n{term.sum}"] + at(term.operand) @ weight
        lines = "\n".join(writer.pointwise(number))
        exec(lines, {**NAMES, **names, "memory": memory, "mean": mean, "save": save})  # noqa: S102 - written here


CELLS_RUN = {name: CELLS[name] for name in cases.ALL_CELLS}
CELLS_RUN |= {"everything": cases.Everything, "LEM": literature.LEM, "LTC": literature.LTC}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", CELLS_RUN)
def test_what_is_written_computes_a_step_and_its_gradients(name, masked):
    cell = CELLS_RUN[name](INPUT, HIDDEN).double()
    cases.randomise(cell)
    program = cell.program
    if masked:
        program = with_zoneout(
            with_recurrent_dropout(program), dict.fromkeys(program.states, 0.3), training=True
        )
    step, tensors = plan(program), cell.named_tensors()
    x = torch.randn(BATCH, INPUT).double()
    states = {state: cases.leaf(torch.randn(BATCH, HIDDEN).double()) for state in program.states}
    per_unit = per_unit_parameters(program, tensors, HIDDEN)
    projected = functional.linear(x, tensors["input_weight"], tensors.get("bias"))
    masks = {mask: (torch.rand(BATCH, HIDDEN) < 0.5).double() for mask in program.masks}
    count = len(program.input_gates)
    memory = {
        f"projected {number} of {count}": part for number, part in enumerate(projected.split(HIDDEN, 1))
    }
    memory |= {f"old {state}": value.detach() for state, value in states.items()}
    memory |= {f"mask {mask}": value for mask, value in masks.items()}
    writer = Python(program, step.forward, step.labels, step.forward.kept)
    memory |= dict(zip(writer.vectors, (one.detach() for one in per_unit), strict=True))
    weights = {gate: cell.rows("hidden_weight", gate).detach() for gate in program.hidden_gates}
    with torch.no_grad():
        run(writer, step.forward, memory, weights, save=True)
    assert sum(place.startswith("saved") for place in memory) == len(step.saved)

    one = OneStep(program, tensors, HIDDEN)
    given = {mask: value.bool() if mask.startswith("zoneout") else value for mask, value in masks.items()}
    values = one.evaluate(one.project(x), tuple(states.values()), given)
    new = [values[output].expand(BATCH, HIDDEN) for output in program.outputs]
    for state, expected in zip(program.states, new, strict=True):
        assert cases.difference(memory[f"new {state}"], expected) < 1e-12

    arriving = {state: torch.randn(BATCH, HIDDEN).double() for state in program.states}
    memory["d_output"] = torch.randn(BATCH, HIDDEN).double()
    memory |= {f"carried {state}": value for state, value in arriving.items()}
    memory["sums"] = torch.zeros(len(writer.vectors), HIDDEN).double()
    back = Python(program, step.backward, step.labels, step.backward.kept)
    with torch.no_grad():
        run(back, step.backward, memory, weights, save=False)
    loss = (new[0] * memory["d_output"]).sum()
    loss = loss + sum(
        (value * arriving[state]).sum() for value, state in zip(new, program.states, strict=True)
    )
    leaves = [*states.values(), *tensors.values()]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    of_states, of_tensors = (
        gradients[: len(states)],
        dict(zip(tensors, gradients[len(states) :], strict=True)),
    )
    expected = [*of_states, *per_unit_parameters(program, of_tensors, HIDDEN)]
    found = [*(memory[f"carry {state}"] for state in program.states), *memory["sums"]]
    for ours, theirs in zip(found, expected, strict=True):
        assert cases.difference(ours, theirs) < 1e-11


def test_only_what_a_stage_needs_is_read_and_what_is_saved_comes_last():
    program = CELLS["gru"](INPUT, HIDDEN).program
    step = plan(program)
    writer = Python(program, step.forward, step.labels, step.forward.kept)
    first, second = (list(writer.pointwise(number)) for number in range(2))
    assert sum("'projected" in line for line in first) == 2
    assert sum("'projected" in line for line in second) == 1
    assert [line.startswith("if save:") for line in second] == sorted(
        line.startswith("if save:") for line in second
    )
    assert any(line == "# update = sigmoid(W_update [h, x] + b_update)" for line in first)
    defined = [line.split(" ")[0] for line in first if line.startswith("n")]
    assert len(defined) == len(set(defined))
