"""The derived backward step, compared with PyTorch's autograd and against formulas written out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

import cases
import random_cells
import special_values
from recurra.cells import CELLS, LSTM
from recurra.cells.cell import NORM_EPSILON
from recurra.cells.derivative import RULES, differentiate
from recurra.cells.program import BINARY, UNARY
from recurra.cells.transform import with_recurrent_dropout, with_zoneout
from recurra.engine.reference import FUNCTIONS, OneStep

INPUT, HIDDEN, ROWS = 3, 5, 4


def make(cell, program=None, seed=0):
    """A cell with random parameters, its program, an input, states and masks, in float64."""
    torch.manual_seed(seed)
    built = cell(INPUT, HIDDEN).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.6 + 0.1)
    program = built.program if program is None else program(built.program)
    x = torch.randn(ROWS, INPUT, dtype=torch.float64)
    states = [torch.randn(ROWS, HIDDEN, dtype=torch.float64).requires_grad_() for _ in program.states]
    masks = {
        name: torch.rand(ROWS, HIDDEN) < 0.5
        if name.startswith("zoneout")
        else torch.rand(ROWS, HIDDEN, dtype=torch.float64) * 2
        for name in program.masks
    }
    return built, program, x.requires_grad_(), states, masks


def backwards(derivative, values, one_step, arriving):
    """The values of all nodes of a derivative, the program's own being known."""
    values, parameters, program = list(values), one_step.parameters, one_step.program
    for node in derivative.nodes[len(values) :]:
        operands = [values[arg] for arg in node.args]
        if node.op == "gradient":
            value = arriving[program.states.index(node.name)]
        elif node.op == "constant":
            value = node.values[0]
        elif node.op == "gain":
            value = parameters[f"norm_{node.name}_gain"]
        elif node.op == "transposed":
            first = program.hidden_gates.index(node.name) * HIDDEN
            value = operands[0] @ parameters["hidden_weight"][first : first + HIDDEN]
        elif node.op == "mean":
            value = operands[0].mean(-1, keepdim=True)
        elif node.op in ("normalised", "inverse_deviation"):
            centred = operands[0] - operands[0].mean(-1, keepdim=True)
            scale = (centred.square().mean(-1, keepdim=True) + NORM_EPSILON).rsqrt()
            value = centred * scale if node.op == "normalised" else scale
        else:
            numbers = operands[1:] if node.op == "where" else operands
            if not any(isinstance(operand, torch.Tensor) for operand in numbers):
                numbers = [arriving[0].new_tensor(operand) for operand in numbers]
            value = FUNCTIONS[node.op](*operands[: len(operands) - len(numbers)], *numbers)
        values.append(value)
    return values


def gradients(cell, program=None, seed=0):
    """By name, the gradients that the derivative gives and those of autograd."""
    built, program, x, states, masks = make(cell, program, seed)
    one_step = OneStep(program, built.named_tensors(), HIDDEN)
    values = one_step.evaluate(one_step.project(x), tuple(states), masks)
    new = [values[output] for output in program.outputs]
    arriving = [torch.randn(ROWS, HIDDEN, dtype=torch.float64) for _ in new]
    leaves = {f"state {name}": state for name, state in zip(program.states, states, strict=True)}
    leaves |= {"x": x, **built.named_tensors()}
    expected = torch.autograd.grad(new, list(leaves.values()), arriving, allow_unused=True)
    expected = {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), expected, strict=True)
    }

    derivative = differentiate(program)
    known = [value.detach() if isinstance(value, torch.Tensor) else value for value in values]
    with torch.no_grad():
        after = backwards(derivative, known, one_step, arriving)

        def of(op, name):
            place = derivative.of(op, name)
            zero = torch.zeros(ROWS, HIDDEN, dtype=torch.float64)
            return zero if place is None else torch.as_tensor(after[place]).expand_as(zero)

        found = {f"state {name}": of("state", name) for name in program.states}
        halves = {op: {gate: of(op, gate) for gate in program.gates} for op in ("input", "hidden")}
        rows = torch.cat([halves["input"][gate] for gate in program.input_gates], 1)
        found |= {"x": rows @ built.input_weight, "input_weight": rows.T @ x, "bias": rows.sum(0)}
        operands = {gate: known[product.operand] for product in program.products for gate in product.gates}
        hidden = [
            halves["hidden"][gate].T @ operands[gate].expand(ROWS, HIDDEN) for gate in program.hidden_gates
        ]
        found |= {"hidden_weight": torch.cat(hidden)} if hidden else {}
        if program.hidden_bias_gates:
            found["hidden_bias"] = torch.cat([halves["hidden"][g].sum(0) for g in program.hidden_bias_gates])
        found |= {f"vector_{name}": of("vector", name).sum(0) for name in program.vectors}
        for part, places in (("gain", derivative.norm_gains), ("shift", derivative.norm_shifts)):
            for name in program.norms:  # one on which only a condition depends has no gradient
                place = places.get(name)
                found[f"norm_{name}_{part}"] = (
                    torch.zeros(HIDDEN).double() if place is None else after[place].sum(0)
                )
    return {name: found[name] for name in expected if name in found}, expected


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(
            found[key], value, rtol=1e-11, atol=1e-12, msg=lambda m, key=key: f"{key}: {m}"
        )


@pytest.mark.parametrize("name", [*CELLS, "everything"])
def test_every_gradient_is_autograds(name):
    assert_equal(*gradients(CELLS.get(name, cases.Everything)))


@pytest.mark.parametrize("name", ["gru", "course_peephole_lstm", "layer_norm_lstm", "everything"])
def test_masks_are_constants_to_the_derivative(name):
    def dropped(program):
        return with_zoneout(
            with_recurrent_dropout(program), dict.fromkeys(program.states, 0.5), training=True
        )

    assert_equal(*gradients(CELLS.get(name, cases.Everything), dropped))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(random_cells.sources())
def test_every_gradient_of_random_cells_is_autograds(source):
    assert_equal(*gradients(random_cells.cell_of(source)))


def test_every_operation_has_a_rule():
    operations = {*BINARY, *UNARY, "maximum", "minimum", "clamp", "where", "hidden", "norm"}
    assert set(RULES) == operations
    used = {node.op for node in cases.Everything(INPUT, HIDDEN).program.nodes}
    assert operations <= used, "the cell of these tests lacks an operation"


@pytest.mark.parametrize("dtype", special_values.TOLERANCE)
def test_special_values_are_pytorchs(dtype):
    """Ties, kinks, infinities and NaN, each rule by PyTorch's operators."""
    program = special_values.Special(1, 1).program
    derivative, one_step = differentiate(program), OneStep(program, {}, 1)
    found = {}
    a, b, arriving = special_values.points(dtype)
    number = len(special_values.FUNCTIONS)
    states = (a, *[a] * number, *[b] * number)
    with torch.no_grad():
        values = one_step.evaluate(a[:, :1], states, {})
        new = [arriving if name[0] == "a" else torch.zeros_like(a) for name in program.states]
        after = backwards(derivative, values, one_step, new)
        for place, name in enumerate(special_values.FUNCTIONS):
            gradients = [derivative.of("state", f"{letter}{place}") for letter in "ab"]
            d_a, d_b = (0.0 if one is None else after[one] for one in gradients)
            value = values[program.outputs[1 + place]]
            found[name] = tuple(torch.as_tensor(one, dtype=dtype).expand_as(a) for one in (value, d_a, d_b))
    assert special_values.wrong(found, special_values.expected(dtype)) == []


def test_lstm_is_what_one_writes_by_hand():
    """The gradients of gates, parameters, hidden state, memory and input, each by its formula."""
    built, program, x, (h, c), _ = make(LSTM)
    derivative = differentiate(program)
    one_step = OneStep(program, built.named_tensors(), HIDDEN)
    d_h_new, d_c_new = torch.randn(2, ROWS, HIDDEN, dtype=torch.float64)
    with torch.no_grad():
        after = backwards(
            derivative, one_step.evaluate(one_step.project(x), (h, c), {}), one_step, (d_h_new, d_c_new)
        )
        rows = (
            [built.rows("input_weight", g) for g in LSTM.gates],
            [built.rows("hidden_weight", g) for g in LSTM.gates],
        )
        a_u, a_f, a_g, a_o = (
            x @ w.T + h @ u.T + built.rows("bias", g) for w, u, g in zip(*rows, LSTM.gates, strict=True)
        )
        u, f, o, g = a_u.sigmoid(), a_f.sigmoid(), a_o.sigmoid(), a_g.tanh()
        c_new = u * g + f * c
        d_memory = d_c_new + d_h_new * o * (1 - c_new.tanh() ** 2)
        by_hand = {
            "update": d_memory * g * u * (1 - u),
            "forget": d_memory * c * f * (1 - f),
            "candidate": d_memory * u * (1 - g**2),
            "output": d_h_new * c_new.tanh() * o * (1 - o),
        }
        for gate, value in by_hand.items():
            torch.testing.assert_close(after[derivative.of("input", gate)], value)
            torch.testing.assert_close(after[derivative.of("hidden", gate)], value)
        d_h = sum(by_hand[gate] @ built.rows("hidden_weight", gate) for gate in LSTM.gates)
        torch.testing.assert_close(after[derivative.of("state", "h")], d_h)
        torch.testing.assert_close(after[derivative.of("state", "c")], d_memory * f)
    found, expected = gradients(LSTM)
    assert_equal(found, expected)
