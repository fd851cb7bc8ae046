"""Every backend of this machine against the reference: outputs, final states and all gradients, for every cell.

B batch, T time, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from recurra.cells import Cell
from recurra.engine import BACKENDS, Options
from recurra.layers import Recurrent

BATCH, TIME, INPUT, HIDDEN = 5, 7, 11, 37
LENGTHS = (7, 0, 3, 1, 6)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass(frozen=True)
class Check:
    """One cell on one backend.

    Attributes:
        backend, cell, dtype: what ran.
        difference: the largest difference from the reference, relative to the largest magnitude in its tensor;
            None where the backend cannot run the cell.
        worst: the tensor in which it is.
        reason: why the backend cannot run the cell, or empty.
    """

    backend: str
    cell: str
    dtype: torch.dtype
    difference: float | None
    worst: str
    reason: str

    @property
    def passed(self) -> bool:
        """Whether it is within the tolerance, 1e-5 in float32 and 1e-12 in float64; not run is no failure."""
        return self.difference is None or self.difference <= TOLERANCE[self.dtype]


def check_backends(cells: Mapping[str, type[Cell]], device: str = "cpu", seed: int = 0) -> Iterator[Check]:
    """Run each cell on each backend and on the reference, ragged rows from a random state, with random weights."""
    for name, cell in cells.items():
        for dtype in TOLERANCE:
            expected = _results(cell, "reference", device, dtype, seed)
            for backend, module in BACKENDS.items():
                if backend == "reference":
                    continue
                reason = module.can_run(cell(1, 1).program, Options(device, dtype, ragged=True))
                if reason is not None:
                    yield Check(backend, name, dtype, None, "", reason)
                    continue
                results = _results(cell, backend, device, dtype, seed)
                worst, difference = max(
                    ((key, _difference(results[key], expected[key])) for key in expected),
                    key=lambda pair: pair[1],
                )
                yield Check(backend, name, dtype, difference, worst, "")


def _results(cell: type[Cell], backend: str, device: str, dtype: torch.dtype, seed: int) -> dict[str, Tensor]:
    """Outputs, final states, and the gradients of parameters, input and initial state of one random loss."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").to(device, dtype)

    rnn = Recurrent(cell, INPUT, HIDDEN, backend=backend).to(device, dtype)
    with torch.no_grad():
        for name, parameter in rnn.named_parameters():
            scale = 0.4 if parameter.ndim < 2 else 0.8 * parameter.shape[1] ** -0.5
            parameter.copy_(scale * random(*parameter.shape) + float(name.endswith("_gain")))
    x = random(BATCH, TIME, INPUT).requires_grad_()
    state = rnn.zero_state(BATCH).map(lambda zero: (0.7 * random(*zero.shape)).requires_grad_())
    outputs, final = rnn(x, state, torch.tensor(LENGTHS, device=device))
    values = {"outputs": outputs, **{f"final {key}": value for key, value in final.tensors()}}
    loss = sum((value * random(*value.shape)).sum() for value in values.values())
    assert isinstance(loss, Tensor)
    leaves = {"x": x, **dict(state.tensors()), **dict(rnn.named_parameters())}
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return values | {f"gradient of {name}": one for name, one in zip(leaves, gradients, strict=True)}


def _difference(ours: Tensor, theirs: Tensor) -> float:
    scale = max(theirs.abs().max().item(), 1e-30)
    worst = (ours - theirs).abs().max().item() / scale
    return worst if worst == worst else float("inf")
