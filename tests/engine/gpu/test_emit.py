"""The Triton source of a program's kernels; that it computes what the reference does is tested in `test_kernel.py`."""

from __future__ import annotations

import ast
import math
import re

import pytest

import cases
from literature import LEM
from recurra.cells import CELLS
from recurra.cells.transform import with_recurrent_dropout, with_zoneout
from recurra.engine.gpu.emit import _literal, emit, slots, stored_gates
from recurra.engine.plan import LEAVES, plan


def test_source_begins_with_the_equations_and_has_both_kernels():
    source = emit(plan(CELLS["gru"](3, 5).program))
    assert "#   candidate = tanh(W_candidate [reset * h, x] + b_candidate)" in source
    assert source.count("@triton.jit") == 2
    compile(source, "generated", "exec")


def test_sizes_are_arguments():
    """So the same source serves every width."""
    sources = {emit(plan(CELLS["peephole_lstm"](*sizes).program)) for sizes in ((3, 5), (64, 512))}
    assert len(sources) == 1


@pytest.mark.parametrize("name", [*cases.ALL_CELLS, "everything", "LEM"])
def test_each_kernel_is_python_that_defines_what_it_uses(name):
    """Every node is a variable that has been assigned before, and every argument is used."""
    own = {"everything": cases.Everything, "LEM": LEM}
    program = (CELLS | own)[name](3, 5).program
    program = with_zoneout(with_recurrent_dropout(program), dict.fromkeys(program.states, 0.1), training=True)
    for kernel in ast.parse(emit(plan(program))).body:
        assert isinstance(kernel, ast.FunctionDef)
        assigned, used = set(), set()
        for statement in ast.walk(kernel):
            if isinstance(statement, ast.Name):
                (assigned if isinstance(statement.ctx, ast.Store) else used).add(statement.id)
        arguments = {argument.arg for argument in kernel.args.args}
        nodes = {one for one in used if re.fullmatch(r"n\d+", one)}
        assert nodes
        assert nodes <= assigned
        unused = {f"states_{program.states[0]}", *(() if program.products else ("INNER", "PRECISION"))}
        assert arguments - unused <= used


def test_the_forward_kernel_saves_only_where_that_is_asked_for():
    forward, backward = ast.parse(emit(plan(CELLS["lstm"](3, 5).program))).body
    assert "SAVE" in ast.unparse(forward)
    assert "SAVE" not in ast.unparse(backward)
    for condition in (one for one in ast.walk(forward) if isinstance(one, ast.If)):
        assert all("saved" in ast.unparse(statement) for statement in condition.body)
    assert ast.unparse(forward).count("write(saved") == len(plan(CELLS["lstm"](3, 5).program).saved)


@pytest.mark.parametrize("name", cases.ALL_CELLS)
def test_memory_of_its_own_has_only_what_a_later_stage_reads_and_nothing_else_holds(name):
    step = plan(CELLS[name](3, 5).program)
    for one in (step.forward, step.backward):
        held = slots(one)
        assert len(held) == len(set(held))
        assert not set(held) & {*stored_gates(one), *one.means}
        for number, stage in enumerate(one.stages):
            for index in (place for place in stage.kept if place in held):
                later = one.stages[number + 1 :]
                operands = {term.operand for other in later for term in other.terms}
                read = {arg for other in later for node in other.body for arg in one.nodes[node].args}
                assert index in operands | read
                assert one.nodes[index].op not in LEAVES


def test_gradients_of_gates_are_read_where_the_caller_gets_them():
    step = plan(CELLS["gru"](3, 5).program)
    assert set(stored_gates(step.backward).values()) >= {("d_projected", "update"), ("d_projected", "reset")}
    assert stored_gates(step.forward) == {}


@pytest.mark.parametrize("value", [0.5, -0.0, 1e-30, math.inf, -math.inf, math.nan])
def test_numbers_are_read_again_by_python(value):
    again = eval(_literal(value))  # noqa: S307 - written here
    assert repr(again) == repr(value)
