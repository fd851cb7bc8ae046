"""All that the notation takes, traced and on tensors: the same numbers, gradients and types both ways."""

from __future__ import annotations

import copy
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import cases
from recurra import Cell, CellError
from recurra.cells.program import BINARY, COMPARISONS, UNARY
from recurra.cells.symbols import METHODS, OPERATORS, TORCH_FUNCTIONS
from recurra.engine import Call, reference

INPUT, HIDDEN, BATCH = 3, 5, 4
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
NUMBERS = (0.7, 2, True, False, np.float64(0.7), np.float32(0.7), np.float16(0.7), np.longdouble(0.7))
NUMBERS += (np.int64(2), np.int32(2), np.uint8(2), np.bool_(True))

Form = Callable[[Any, Any], Any]  # of two values in (0.5, 1.5)


def in_place(op: str) -> Form:
    def form(a: Any, b: Any) -> Any:
        before = a
        a = getattr(operator, f"i{OPERATORS[op]}")(a, b)
        return a + before  # which is what it was

    return form


def forms(op: str) -> Iterator[tuple[str, Form]]:
    """Every way to write an operation."""
    functions = [function for function, name in TORCH_FUNCTIONS.items() if name == op]
    methods = [method for method, name in METHODS.items() if name == op]
    if op in UNARY:
        share = 0.2 if op in ("log", "sqrt") else 1  # of b, which leaves those a positive number
        yield from ((f"torch {f.__name__}", lambda a, b, f=f: f(a - share * b)) for f in functions)
        yield from ((f".{m}()", lambda a, b, m=m: getattr(a - share * b, m)()) for m in methods)
        return
    second = "exponent" if op == "pow" else "other"
    infix = getattr(operator, OPERATORS.get(op, op), None) if op in (*BINARY, *COMPARISONS) else None
    yield from ((f"torch {f.__name__}", lambda a, b, f=f: f(a, b)) for f in functions)
    yield from ((f"torch {f.__name__} =", lambda a, b, f=f: f(a, **{second: b})) for f in functions)
    yield from ((f".{m}()", lambda a, b, m=m: getattr(a, m)(b)) for m in methods)
    yield from ((f".{m}(=)", lambda a, b, m=m: getattr(a, m)(**{second: b})) for m in methods)
    if infix is not None:
        yield "infix", infix
    if op in OPERATORS:
        yield "in place", in_place(op)
        yield "in place, a number", lambda a, b: in_place(op)(a, 2) + b
    for n in NUMBERS:
        shown = f"{type(n).__name__} {n}"
        if op != "div" or n != 0:
            if op not in ("maximum", "minimum"):  # torch's functions themselves take no number there
                yield from (
                    (f"torch {f.__name__}(a, {shown})", lambda a, b, f=f, n=n: f(a, n)) for f in functions
                )
            yield from ((f".{m}({shown})", lambda a, b, m=m, n=n: getattr(a, m)(n)) for m in methods)
            if infix is not None:
                yield f"a {op} {shown}", lambda a, b, n=n: infix(a, n)
        if op != "pow" or n != 0:  # whose derivative is not a number
            if op in OPERATORS:  # nor in the first place, but in these
                yield from (
                    (f"torch {f.__name__}({shown}, a)", lambda a, b, f=f, n=n: f(n, a)) for f in functions
                )
            if infix is not None:
                yield f"{shown} {op} a", lambda a, b, n=n: infix(n, a)


OTHERS: dict[str, dict[str, Form]] = {
    "clamp": {
        "method": lambda a, b: a.clamp(0.8, 1.2) + b.clip(0.9, 1.1),
        "lower": lambda a, b: a.clamp(0.8) + b.clamp(min=0.9) + torch.clamp(a, 1) + torch.clip(b, min=1.1),
        "upper": lambda a, b: a.clamp(max=0.8) + torch.clamp(b, max=1) + torch.clip(b, None, 1.1),
        "function": lambda a, b: torch.clamp(a, 0.8, 1.2) + torch.clamp(input=b, min=0.7, max=1),
        "numpy": lambda a, b: a.clamp(np.float32(0.8), np.float64(1.2)) + torch.clamp(b, max=np.int64(1)),
        "bool": lambda a, b: a.clamp(False, True) + torch.clamp(b, np.bool_(True)),
        "crossed": lambda a, b: a.clamp(1.2, 0.8) + b,
        "huge": lambda a, b: a.clamp(1, 10**20) + b.clamp(max=np.uint64(2**64 - 1)),
        "open": lambda a, b: a.clamp(0.8, math.inf) + b.clamp(min=-np.inf, max=1.1),
    },
    "where": {
        "values": lambda a, b: torch.where(a > b, a, b),
        "method": lambda a, b: a.where(a > b, b) + b.where(a > 1, 0.3) + b.where(condition=a < b, other=1),
        "first a number": lambda a, b: torch.where(a > b, 0.3, b) + torch.where(a > 1, 2, b),
        "second a number": lambda a, b: torch.where(a > b, a, 0.3) + torch.where(a > 1, a, np.float32(0.1)),
        "both numbers": lambda a, b: torch.where(a > b, 0.1, 0.3),
        "whole numbers": lambda a, b: torch.where(a > b, 1, 2) / 3,
        "roots of whole numbers": lambda a, b: torch.where(a > b, 1, 2).sqrt() ** -1,
        "numpy": lambda a, b: torch.where(a > b, np.float64(0.1), np.int64(2)),
        "bools": lambda a, b: torch.where(a > b, True, False) - torch.where(a < b, a, True),
        "names": lambda a, b: torch.where(condition=a > b, input=a, other=0.1),
        "infinite": lambda a, b: torch.where(a > b, -math.inf, b).exp() + torch.where(a > b, a, np.inf) ** -1,
        "huge": lambda a, b: torch.where(a < 10**20, a, b) + torch.where(a < b, 10**20, b).tanh(),
    },
    "modules": {
        "tanh": lambda a, b: nn.Tanh()(a),
        "sigmoid": lambda a, b: nn.Sigmoid()(a),
        "relu": lambda a, b: nn.ReLU()(a - b),
        "softplus": lambda a, b: nn.Softplus()(a),
        "sequence": lambda a, b: nn.Sequential(nn.Tanh(), nn.Softplus())(a),
    },
    "defaults": {
        "softplus": lambda a, b: (
            functional.softplus(a, 1, 20) + functional.softplus(b, beta=1.0, threshold=20)
        ),
        "relu": lambda a, b: functional.relu(a - b, False) + functional.relu(a, inplace=False),
        "add": lambda a, b: torch.add(a, b, alpha=1).sub(b, alpha=1),
        "div": lambda a, b: torch.div(a, b, rounding_mode=None),
        "out": lambda a, b: torch.add(a, b, out=None),
    },
    "Python": {
        "plus": lambda a, b: +a - -b,
        "abs": lambda a, b: abs(a - b),
        "pow": lambda a, b: pow(a, 2) + pow(2, b),
        "sum": lambda a, b: sum([a, b]),
        "zero": lambda a, b: 0 * a + 1 * b - 0.0,
    },
}
FORMS = {op: dict(forms(op)) for op in dict.fromkeys(METHODS.values()) if op not in OTHERS} | OTHERS


def cell_of(form: Form, compared: bool = False) -> Cell:
    class Mine(Cell):
        gates = ("a", "b")

        def step(self, affine, h):
            a, b = affine("a", h).sigmoid() + 0.5, affine("b", h).sigmoid() + 0.5
            value = form(a, b)
            if compared:
                value = torch.where(value, 0.3 * a, b)
            return (0.3 * value + 0.1 * h * b + 0.1 * a).tanh()

    return Mine(INPUT, HIDDEN)


def both_ways(cell: Cell, x: Tensor, h: Tensor) -> list[list[Tensor]]:
    """The new state and the gradients, by the cell and by its program on the reference backend."""
    found = []
    for run in (
        lambda: cell(x, h),
        lambda: reference.run(Call(cell.program, cell.named_tensors(), x[:, None], (h,))).states[0],
    ):
        new = run()
        weights = torch.linspace(0.5, 1.5, new.numel(), dtype=new.dtype).reshape(new.shape)
        gradients = torch.autograd.grad((new * weights).sum(), [x, h, *cell.parameters()])
        found.append([new, *gradients])
    return found


@pytest.mark.parametrize("op", FORMS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_cell_by_itself_gives_what_its_program_gives(op, dtype):
    for name, form in FORMS[op].items():
        cell = cell_of(form, op in COMPARISONS).to(dtype)
        cases.randomise(cell)
        x = torch.randn(BATCH, INPUT, dtype=dtype, requires_grad=True)
        h = torch.randn(BATCH, HIDDEN, dtype=dtype, requires_grad=True)
        before = h.detach().clone()
        for ours, theirs in zip(*both_ways(cell, x, h), strict=True):
            assert ours.dtype == theirs.dtype == dtype, name
            assert cases.difference(ours, theirs) < TOLERANCE[dtype], name
        assert torch.equal(h.detach(), before), f"{name} changes the state it was given"


def test_the_table_is_whole():
    assert {*FORMS} >= {*UNARY, *BINARY, *COMPARISONS, "maximum", "minimum", "clamp", "where"}


@pytest.mark.parametrize(
    ("form", "plain"),
    [
        (lambda a, b: a.sigmoid() * b + 1 - 2 / functional.softplus(b), True),
        (lambda a, b: torch.maximum(a, b).clamp(0.1, 1) ** np.float64(2), True),
        (lambda a, b: torch.where(a > 0.3, a, 1.0) + np.float32(0.3) * a, True),
        (lambda a, b: a.softplus(), False),
        (lambda a, b: a.maximum(0.9), False),
        (lambda a, b: torch.where(a > 1, 0.0, 1.0), False),
        (lambda a, b: a * True, False),
    ],
)
def test_plain_tensors_stay_plain(form, plain):
    """A step gets tensors wherever it can run on them."""
    seen: list[type] = []

    def seeing(a: Any, b: Any) -> Any:
        seen.append(type(a))
        return form(a, b)

    cell = cell_of(seeing)
    cell(torch.randn(BATCH, INPUT), torch.randn(BATCH, HIDDEN))
    assert (seen[-1] is Tensor) is plain


def test_a_step_that_changes_in_place_leaves_parameters_alone():
    class Mine(Cell):
        gates = ("a",)
        vectors = ("v",)

        def step(self, affine, h):
            v = affine.vector("v")
            v *= 2
            h += affine("a", h)
            return (h * v).tanh()

    cell = Mine(INPUT, HIDDEN)
    before = cell.vector_v.detach().clone()
    x, h = torch.randn(BATCH, INPUT, requires_grad=True), torch.randn(BATCH, HIDDEN, requires_grad=True)
    for ours, theirs in zip(*both_ways(cell, x, h), strict=True):
        assert cases.difference(ours, theirs) < 1e-5
    assert torch.equal(cell.vector_v.detach(), before)


class Forms(Cell):
    """Forms that tensors lack, in the places where a tensor comes from elsewhere."""

    gates = ("a", "b", "c")
    state = ("h", "m")
    vectors = ("v",)
    norms = ("n",)

    def step(self, affine, h, m):
        a = affine("a", h.maximum(-0.5)).softplus()
        b = affine.norm("n", affine.input("b") * affine.hidden("b", affine.vector("v").minimum(0.5)))
        c = affine("c") + torch.where(m > h, 0.1, -0.1)
        return [(a - b).tanh(), c * affine.vector("v")]


def test_the_whole_notation_on_symbols():
    cell = Forms(INPUT, HIDDEN).double()
    cases.randomise(cell)
    x = torch.randn(BATCH, INPUT, dtype=torch.float64)
    states = tuple(torch.randn(BATCH, HIDDEN, dtype=torch.float64) for _ in cell.state)
    ours = cell(x, states)
    theirs = reference.run(Call(cell.program, cell.named_tensors(), x[:, None], states)).states
    assert isinstance(ours, tuple)
    for one, other in zip(ours, theirs, strict=True):
        assert cases.difference(one, other) < 1e-12


def test_symbols_on_tensors_go_through_torch_func():
    cell = Forms(INPUT, HIDDEN).double()
    cases.randomise(cell)
    x = torch.randn(6, BATCH, INPUT, dtype=torch.float64)
    states = tuple(torch.randn(6, BATCH, HIDDEN, dtype=torch.float64) for _ in cell.state)
    many = torch.vmap(cell)(x, states)
    one = cell(x[2], tuple(state[2] for state in states))
    assert cases.difference(many[0][2], one[0]) < 1e-12
    jacobian = torch.func.jacrev(lambda h: cell(x[0], (h, states[1][0]))[0])(states[0][0])
    assert jacobian.shape == (BATCH, HIDDEN, BATCH, HIDDEN)
    assert jacobian.abs().max() > 0


def test_a_value_prints_itself():
    shown: list[str] = []

    class Mine(Cell):
        gates = ("a",)

        def step(self, affine, h):
            a = affine("a", h).maximum(0.25)
            shown.extend([repr(h), f"{a}", str(a > 0)])
            return a

    cell = Mine(INPUT, HIDDEN)
    assert shown[:3] == [
        "<value of Mine.step: h>",
        "<value of Mine.step: maximum(add(input(a), hidden(a, h)), 0.25)>",
        "<value of Mine.step: gt(maximum(add(input(a), hidden(a, h)), 0.25), 0)>",
    ]
    shown.clear()
    cell(torch.zeros(1, INPUT), torch.zeros(1, HIDDEN))
    assert shown[0] == f"<value of Mine.step: {torch.zeros(1, HIDDEN)!r}>"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (lambda a, b: a + 10**400, "add got a whole number that no float can hold; write math.inf"),
        (
            lambda a, b: a + 1j,
            "add expected a value of this step or a number, got complex; for a constant write",
        ),
        (lambda a, b: a + "x", "got str;"),
        (lambda a, b: None * b, "got NoneType;"),
        (lambda a, b: b - [a], "got list;"),
        (lambda a, b: np.ones(5) - a, r"sub expected .* got ndarray \[5\];"),
        (lambda a, b: np.array(0.5) < a, r"gt expected .* got ndarray \[\];"),
        (lambda a, b: torch.ones(5) ** a, r"pow expected .* got Tensor \[5\];"),
        (lambda a, b: a / torch.tensor(2), r"div expected .* got Tensor \[\];"),
        (lambda a, b: nn.Parameter(torch.ones(5)) >= a, r"ge expected .* got Parameter \[5\];"),
        (lambda a, b: a.clamp(), "clamp expected a lower or an upper bound, got neither"),
        (
            lambda a, b: a.clamp(b, 1),
            "clamp takes numbers as bounds, got a value of the step; use torch.minimum",
        ),
        (lambda a, b: torch.clamp(a, torch.tensor(1.0)), r"clamp takes numbers as bounds, got Tensor \[\]"),
        (lambda a, b: torch.where(a, a, b), "where expected a comparison first, got a value of the step"),
        (
            lambda a, b: torch.where(True, a, b),
            r"TypeError: where\(\) received .*: it takes a comparison and two",
        ),
        (
            lambda a, b: torch.where(a > 0),
            "`where` with these arguments cannot be traced: it takes a comparison",
        ),
        (
            lambda a, b: (a > 0) + b,
            "a comparison can only be used in torch.where, but came as operand of add",
        ),
        (
            lambda a, b: torch.cat([a, b], dim=-1),
            "torch's `cat` cannot be traced: values are not joined or cut",
        ),
        (lambda a, b: torch.stack((a, b)), "torch's `stack` cannot be traced: values are not joined or cut"),
        (lambda a, b: torch.cat([torch.ones(1, 5), a]), "torch's `cat` cannot be traced"),
        (lambda a, b: torch.block_diag(*[a, b]), "torch's `block_diag` cannot be traced; what can: "),
        (
            lambda a, b: torch.sum(a),
            "torch's `sum` cannot be traced: a step acts on each hidden unit by itself",
        ),
        (lambda a, b: a @ b, "`@` cannot be traced: a product with a weight matrix is a gate"),
        (lambda a, b: torch.ones(5, 5) @ a, "`@` cannot be traced: a product with a weight matrix is a gate"),
        (lambda a, b: torch.einsum("bi,bi->b", a, b), "torch's `einsum` cannot be traced: a product"),
        (lambda a, b: torch.full((2,), a), "torch's `full` cannot be traced"),
        (lambda a, b: torch.sin(a), "torch's `sin` cannot be traced; what can: "),
        (lambda a, b: a.sin(), r"`\.sin` cannot be traced; what can: "),
        (lambda a, b: torch.ops.aten.sin(a), "torch's `sin` cannot be traced"),
        (lambda a, b: torch.Tensor.sin(a), "TypeError: descriptor 'sin'"),
        (lambda a, b: torch.vmap(torch.sin)(a), "ValueError: vmap"),
        (lambda a, b: torch.tensor([a, b]), r"`len\(\)` cannot be traced"),
        (lambda a, b: torch.zeros_like(a), "torch's `zeros_like` cannot be traced: write the number itself"),
        (lambda a, b: a.new_full((5,), 1.0), r"`\.new_full` cannot be traced: write the number itself"),
        (lambda a, b: a.shape, r"`\.shape` cannot be traced: a step needs no shapes; .* self\.hidden_size"),
        (lambda a, b: a.device, r"`\.device` cannot be traced: a step needs no device and no type"),
        (lambda a, b: a.double(), r"`\.double` cannot be traced: values keep the type of the states"),
        (lambda a, b: torch.relu_(a), "torch's `relu_` cannot be traced: values are not changed in place"),
        (lambda a, b: a.mul_(b), r"`\.mul_` cannot be traced: values are not changed in place"),
        (
            lambda a, b: torch.ones(5).add_(a),
            "torch's `add_` cannot be traced: values are not changed in place",
        ),
        (lambda a, b: setattr(a, "data", b), r"setting `\.data` cannot be traced: gradients flow"),
        (lambda a, b: a.detach(), r"`\.detach` cannot be traced: gradients flow"),
        (lambda a, b: torch.autograd.grad(a, b), "torch's `grad` cannot be traced: gradients flow"),
        (lambda a, b: nn.Dropout()(a), "torch's `dropout` cannot be traced: dropout and zoneout are options"),
        (lambda a, b: torch.rand_like(a), "torch's `rand_like` cannot be traced: a step draws no random"),
        (
            lambda a, b: (a > 0) & (b > 0),
            "`&` cannot be traced: for `and`, `or` and `not` of conditions nest",
        ),
        (lambda a, b: ~(a > 0), "`~` cannot be traced: for `and`, `or` and `not` of conditions nest"),
        (lambda a, b: torch.add(a, b, alpha=2), "torch's `add` with these arguments cannot be traced"),
        (lambda a, b: a.add(b, b), "`add` with these arguments cannot be traced"),
        (lambda a, b: a.add(other=b, input=a), "`add` with these arguments cannot be traced"),
        (lambda a, b: pow(a, 2, 3), "`pow` with these arguments cannot be traced"),
        (lambda a, b: a.sigmoid(b), "`sigmoid` with these arguments cannot be traced"),
        (lambda a, b: torch.div(a, b, rounding_mode="floor"), "torch's `div` with these arguments cannot be"),
        (
            lambda a, b: functional.softplus(a, threshold=1),
            "torch's `softplus` with these arguments cannot be",
        ),
        (lambda a, b: torch.lt(0.1, a), r"TypeError: lt\(\) .*: write the operator, as in 0.1 < a\."),
        (lambda a, b: torch.maximum(0.1, a), r"TypeError: maximum\(\): .*; write a\.maximum\(0\.1\)"),
        (lambda a, b: float(a), r"`float\(\)` cannot be traced: a value is not known"),
        (lambda a, b: int(a), r"`int\(\)` cannot be traced: a value is not known"),
        (lambda a, b: len(a), r"`len\(\)` cannot be traced"),
        (lambda a, b: range(a), r"`index\(\)` cannot be traced: a value is not known"),
        (lambda a, b: list(a), "iteration cannot be traced: a value is not known"),
        (lambda a, b: a[0], r"`\[\.\.\.\]` cannot be traced: values are not joined or cut"),
        (
            lambda a, b: operator.setitem(a, 0, b),
            r"`\[\.\.\.\]` cannot be traced: values are not joined or cut",
        ),
        (lambda a, b: a in (b,), "`if`, `while`, `and`, `or` and `not` cannot ask for it"),
        (lambda a, b: a // b, "`//` cannot be traced; what can: "),
        (lambda a, b: 2 % a, "`%` cannot be traced; what can: "),
        (lambda a, b: round(a), r"`round\(\)` cannot be traced"),
        (lambda a, b: math.floor(a), r"`math\.floor\(\)` cannot be traced"),
        (lambda a, b: math.sqrt(a), r"`float\(\)` cannot be traced"),
        (lambda a, b: np.exp(a), "numpy cannot be traced: use torch's functions, or methods"),
        (lambda a, b: np.mean([a, b]), "numpy cannot be traced: use torch's functions, or methods"),
        (lambda a, b: copy.deepcopy(a), "a copy cannot be traced"),
        (lambda a, b: f"{a:.3f}", "the format '.3f' cannot be traced"),
        (lambda a, b: a(b), "a call cannot be traced"),
        (lambda a, b: a << 1, "TypeError: unsupported operand"),
        (lambda a, b: 1 / 0, "ZeroDivisionError: division by zero."),
        (lambda a, b: math.tau.foo, "AttributeError: 'float' object has no attribute 'foo'."),
        (lambda a, b: next(iter([])), "StopIteration."),
    ],
)
def test_what_cannot_be_traced_ends_in_one_line_that_says_where(form, said):
    with pytest.raises(CellError) as caught:
        cell_of(lambda a, b: (form(a, b), a)[0])
    message = str(caught.value)
    assert "\n" not in message
    assert re.match(
        r"(tests/cells/|\S*/)test_symbols\.py, line \d+, in (Mine\.step|form, which Mine\.step calls): ",
        message,
    )
    assert re.search(said, message), message


def test_a_choice_between_two_numbers_has_their_exact_values():
    """Not those of torch's default type, by hand."""

    class Mine(Cell):
        gates = ("a",)

        def step(self, affine, h):
            return affine("a", h) + torch.where(h > 0, 0.1, 0.3)

    cell = Mine(INPUT, HIDDEN).double()
    x, h = torch.randn(BATCH, INPUT, dtype=torch.float64), torch.randn(BATCH, HIDDEN, dtype=torch.float64)
    expected = x @ cell.input_weight.T + h @ cell.hidden_weight.T + cell.bias
    expected = expected + 0.1 * (h > 0).double() + 0.3 * (h <= 0).double()
    program = reference.run(Call(cell.program, cell.named_tensors(), x[:, None], (h,))).states[0]
    assert cases.difference(cell(x, h), expected) < 1e-14
    assert cases.difference(program, expected) < 1e-14


def test_the_form_may_depend_on_an_attribute_and_on_the_mode():
    """What a step runs on is decided for each program that a cell has."""

    class Mine(Cell):
        gates = ("a",)
        soft = False

        def step(self, affine, h):
            a = affine("a", h)
            if not self.training:
                return a.maximum(0.1)
            return a.softplus() if self.soft else a.relu()

    cell = Mine(INPUT, HIDDEN)
    x, h = torch.randn(BATCH, INPUT), torch.randn(BATCH, HIDDEN)
    a = x @ cell.input_weight.T + h @ cell.hidden_weight.T + cell.bias
    assert cases.difference(cell(x, h), a.relu()) < 1e-6
    cell.eval()
    assert cases.difference(cell(x, h), a.clamp(min=0.1)) < 1e-6
    cell.train()
    cell.soft = True
    assert cases.difference(cell(x, h), functional.softplus(a)) < 1e-6
