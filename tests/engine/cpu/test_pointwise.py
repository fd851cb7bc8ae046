"""How C++ spells what a stage computes."""

from __future__ import annotations

import math

import pytest
import torch

from recurra import Cell
from recurra.cells import GRU, LSTM
from recurra.cells.transform import with_recurrent_dropout, with_zoneout
from recurra.engine.cpu.pointwise import Pointwise, literal
from recurra.engine.plan import plan


def lines(program, backward=False):
    """By stage."""
    step = plan(program)
    one = step.backward if backward else step.forward
    writer = Pointwise(program, one, step.labels, len(step.saved))
    return [list(writer.pointwise(number)) for number in range(len(one.stages))]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "real(0.5)"),
        (-0.0, "real(-0.0)"),
        (1e-30, "real(1e-30)"),
        (math.inf, "std::numeric_limits<real>::infinity()"),
        (-math.inf, "-std::numeric_limits<real>::infinity()"),
        (math.nan, "std::numeric_limits<real>::quiet_NaN()"),
    ],
)
def test_numbers(value, text):
    assert literal(value) == text


def test_every_line_is_a_statement_or_a_comment():
    program = with_zoneout(with_recurrent_dropout(LSTM(3, 5).program), {"c": 0.1}, training=True)
    for backward in (False, True):
        for stage in lines(program, backward):
            assert stage
            assert all(line.endswith(";") or line.startswith("// ") for line in stage)


def test_gates_lie_side_by_side_in_a_row():
    """The LSTM's four gates in the projected inputs, read once each; its gradients lie in the same way."""
    (stage,) = lines(LSTM(3, 5).program)
    for number in range(4):
        place = f"load<TAIL>(c.p[P_projected] + (row * 4 + {number}) * H + j, count)"
        assert sum(place in line for line in stage) == 1
    first, *_ = lines(LSTM(3, 5).program, backward=True)
    assert sum("store<TAIL>(c.p[P_d_projected] + (row * 4 + " in line for line in first) == 4


def test_saving_is_conditional_and_states_are_not():
    (stage,) = lines(LSTM(3, 5).program)
    saved = [line for line in stage if "P_saved" in line]
    assert len(saved) == len(plan(LSTM(3, 5).program).saved)
    assert all(line.startswith("if (c.save) store<TAIL>(") for line in saved)
    for name in ("h", "c"):
        assert any(line.startswith(f"store<TAIL>(c.p[P_states_{name}] + row * H + j, ") for line in stage)


def test_what_goes_to_a_later_stage_lies_in_the_scratch_of_its_row():
    first, second = lines(GRU(3, 5).program)
    places = {line.partition("(")[2].partition(" + j,")[0] for line in first if "s.scratch" in line}
    assert places
    assert all(" * s.rows + first + r) * s.padded" in place for place in places)
    assert any("load<TAIL>(s.scratch + (" in line for line in second)


def test_masks_of_a_call_lie_by_row_and_of_a_step_by_row_and_step():
    program = with_zoneout(with_recurrent_dropout(LSTM(3, 5).program), {"h": 0.1}, training=True)
    text = "\n".join(line for stage in lines(program) for line in stage)
    assert "load<TAIL>(c.p[P_mask_recurrent] + b * H + j, count);" in text
    assert "= load<TAIL>(c.p[P_mask_zoneout_h] + row * H + j, count) != splat(0);" in text


def test_conditions_are_masks_and_bounds_are_selected():
    class Mine(Cell):
        gates = ("a",)

        def step(self, affine, h):
            a = affine("a", h).clamp(-0.5, math.inf)
            return torch.where(a > h, -a.clamp(max=0.25), h)

    text = "\n".join(lines(Mine(3, 5).program)[0])
    assert "< splat(real(-0.5)), splat(real(-0.5)), " in text
    assert "> splat(std::numeric_limits<real>::infinity())" in text
    assert "> splat(real(0.25)), splat(real(0.25)), " in text
    assert " = -n" in text
    (condition,) = [line for line in text.splitlines() if line.startswith("const mask")]
    name = condition.split()[2]
    assert f"= select({name}, n" in text
