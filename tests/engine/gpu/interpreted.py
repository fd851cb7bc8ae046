"""The gpu backend in Triton's interpreter, on the CPU, against the reference: a script, run by tests.

Triton must be told before it is imported that it is to interpret, so this is a process of its own. It prints one
JSON object. For `interpreted.py kernels` that is, by case, the difference of every output, final state and gradient,
and where values and derivatives are not PyTorch's at special values; for `interpreted.py functions`, how far each is
off.
Fresh memory is full of NaN throughout.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

import cases
import literature
import special_values
from recurra import BackendError, Cell, Recurrent, Regularisation
from recurra.cells import CELLS
from recurra.engine import BACKENDS, Options, choose
from recurra.engine.gpu import functions

LENGTHS = (3, 0, 2, 1, 3)
STEPS = 3
MASKS = {"regularisation": Regularisation(recurrent_dropout=0.4, zoneout=0.3), "training": True}


class NoInput(Cell):
    """No gate has an input half, and one state leaves as it came.

    Where there are zeros, beyond the width and past a row's end, the quotient is not defined; that must stay there.
    """

    gates = ("a",)
    state = ("h", "kept")
    vectors = ("v",)
    has_bias = False

    def step(self, affine, h, kept):
        return affine.hidden("a", affine.vector("v") * h / kept).tanh() + kept, kept


class NoProduct(Cell):
    """No hidden weights."""

    gates = ("a",)
    vectors = ("u",)

    def step(self, affine, h):
        return (affine("a") + affine.vector("u") * h).tanh()


@dataclass
class Case:
    """A cell at a size; `options` are those of `Recurrent`, and `training`."""

    cell: type[Cell]
    dtype: torch.dtype = torch.float64
    hidden: int = 13
    rows: int = 5
    ragged: bool = True
    used: str | None = None  # the only result that the loss depends on; None for all
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, backend: str) -> dict[str, Tensor]:
        """Outputs, states and all gradients."""
        options = dict(self.options)
        torch.manual_seed(3)
        training = options.pop("training", False)
        rnn = Recurrent(self.cell, 3, self.hidden, backend=backend, **options).to(self.dtype)
        cases.randomise(rnn)
        rnn.train(training)
        x = cases.leaf(torch.randn(self.rows, STEPS, 3, dtype=self.dtype))
        start = cases.random_state(rnn, self.rows).map(cases.leaf)
        lengths = torch.tensor([LENGTHS[row % 5] for row in range(self.rows)]) if self.ragged else None
        outputs, final = rnn(x.transpose(0, 1).contiguous().transpose(0, 1), start, lengths)
        results = {"outputs": outputs, **dict(final.tensors())}
        used = [results[self.used]] if self.used else results.values()
        loss = sum((value * torch.randn_like(value)).sum() for value in used)
        leaves = {"x": x, **dict(rnn.named_parameters())} | {f"initial {k}": v for k, v in start.tensors()}
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
        return {**results, **{f"d {name}": one for name, one in zip(leaves, found, strict=True)}}

    def differences(self) -> dict[str, float]:
        expected, found = self.run("reference"), self.run("gpu")
        assert expected.keys() == found.keys()
        return {name: cases.difference(found[name], value) for name, value in expected.items()}


def every_case() -> dict[str, Case]:
    """Each cell in float64, which hides nothing; then widths, rows, types and masks."""
    found = {name: Case(cell) for name, cell in CELLS.items()}
    found["everything"] = Case(cases.Everything)
    found["whole vectors"] = Case(CELLS["layer_norm_lstm"], hidden=16)
    found["the final memory alone"] = Case(CELLS["peephole_lstm"], used="layers.0.forward.c")
    found["no input"] = Case(NoInput)
    found["no product"] = Case(NoProduct)
    found["new states as operands"] = Case(literature.LEM)
    found["new states as operands, masks"] = Case(literature.LEM, options=MASKS)
    found["float32, every row whole"] = Case(cases.Everything, torch.float32, ragged=False)
    found["float32, two blocks and two programs"] = Case(CELLS["gru"], torch.float32, 70, 17)
    for cell in ("gru_reset_after", "layer_norm_lstm"):
        found[f"masks, {cell}"] = Case(CELLS[cell], options=MASKS)
    return found


@triton.jit
def _apply(x, y, out, SIZE: tl.constexpr):
    place = tl.arange(0, SIZE)
    a, b = tl.load(x + place), tl.load(y + place)
    tl.store(out + place, functions.sigmoid(a))
    tl.store(out + SIZE + place, functions.tanh(a))
    tl.store(out + 2 * SIZE + place, functions.softplus(a))
    tl.store(out + 3 * SIZE + place, functions.power(a, b))
    tl.store(out + 4 * SIZE + place, functions.maximum(a, b))
    tl.store(out + 5 * SIZE + place, functions.minimum(a, b))
    tl.store(out + 6 * SIZE + place, functions.relu(a))


def function_errors() -> dict[str, float]:
    """By function, the largest error relative to each value itself; infinite where NaN or infinity is misplaced."""
    special = [
        0.0,
        1.0,
        -1.0,
        2.0,
        -2.0,
        -3.0,
        0.5,
        1e-3,
        20.0,
        20.5,
        60.0,
        -60.0,
        float("inf"),
        float("nan"),
    ]
    grid = torch.tensor(special, dtype=torch.float64)
    x, y = (values.reshape(-1) for values in torch.meshgrid(grid, grid, indexing="ij"))
    x = torch.cat([x, grid.new_tensor([-float("inf")]), torch.linspace(-30, 30, 4095 - len(x)).double()])
    y = torch.cat([y, grid.new_ones(1), torch.linspace(-3, 3, 4095 - len(y)).double()])
    expected = [x.sigmoid(), x.tanh(), torch.nn.functional.softplus(x), x**y]
    expected += [torch.maximum(x, y), torch.minimum(x, y), x.relu()]
    out = torch.empty(len(expected), len(x), dtype=torch.float64)
    _apply[(1,)](x, y, out, SIZE=len(x))
    names = ("sigmoid", "tanh", "softplus", "pow", "maximum", "minimum", "relu")
    return {name: _worst(*pair) for name, *pair in zip(names, out, expected, strict=True)}


def _worst(found: Tensor, expected: Tensor) -> float:
    odd = ~expected.isfinite()
    if not torch.equal(found[odd].nan_to_num(7.0), expected[odd].nan_to_num(7.0)):
        return float("inf")
    error = (found - expected).abs() / expected.abs().clamp(min=1e-300)
    return error[~odd].max().item()


def one_step_at_a_time() -> dict[str, float]:
    """How far a stream and an unrolled loop are from the whole; the loop's gradients too, with zoneout's masks."""
    rnn = cases.recurrent("lstm", 2, 3, backend="gpu")
    x = torch.randn(3, 4, 2, dtype=torch.float64)
    whole = rnn(x)[0]
    found = {}
    for name, steps in (("stream", rnn.streaming()), ("loop", rnn.unroll())):
        state, outputs = None, []
        for t in range(4):
            output, state = steps.step(x[:, t], state)
            outputs.append(output)
        found[name] = cases.difference(torch.stack(outputs, 1), whole)
    gradients = [
        torch.autograd.grad(values.square().sum(), list(rnn.parameters()))
        for values in (torch.stack(outputs, 1), whole)
    ]
    found["gradients"] = max(cases.difference(*pair) for pair in zip(*gradients, strict=True))
    zoned = cases.recurrent("lstm", 2, 3, regularisation=MASKS["regularisation"]).train()
    drawn = []
    for backend in ("gpu", "reference"):
        zoned.backend = backend
        torch.manual_seed(1)
        loop = zoned.unroll()
        drawn.append(loop.step(x[:, 1], loop.step(x[:, 0])[1])[0])
    found["masks"] = cases.difference(*drawn)
    return found


def second_derivative() -> str:
    """The message with which it is refused."""
    rnn = cases.recurrent("gru", 2, 3, backend="gpu")
    x = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    try:
        torch.autograd.grad(rnn(x)[0].sum(), x, create_graph=True)
    except BackendError as error:
        return str(error)
    return "given"


def choices() -> dict[str, Any]:
    """What the choice of a backend makes of an interpreter."""
    program, options = CELLS["gru"](3, 4).program, Options(device="cpu")
    return {"refused": BACKENDS["gpu"].can_run(program, options), "auto": choose(program, options).NAME}


def kernels() -> dict[str, Any]:
    """All that is looked at of kernels, by name."""
    return {
        "cases": {name: case.differences() for name, case in every_case().items()},
        "choices": choices(),
        "special values": {
            str(dtype): special_values.wrong(special_values.on("gpu", dtype), special_values.expected(dtype))
            for dtype in special_values.TOLERANCE
        },
        "steps": one_step_at_a_time(),
        "second derivative": second_derivative(),
    }


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    print(json.dumps(function_errors() if sys.argv[1] == "functions" else kernels()))
