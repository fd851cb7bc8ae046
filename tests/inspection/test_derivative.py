"""One step taken back, against autograd on the same step."""

from __future__ import annotations

import pytest
import torch

from jacobians import EveryOperation, randomised
from recurra.cells import CELLS, Cell
from recurra.inspection.derivative import Derivative
from recurra.inspection.trajectory import trajectories
from recurra.layers.recurrent import Recurrent


@pytest.mark.parametrize("cell", [*CELLS.values(), EveryOperation], ids=lambda cell: cell.__name__)
def test_vectors_are_taken_back_as_autograd_takes_them(cell: type[Cell]) -> None:
    """Several vectors, rows and steps, and every state's share."""
    rnn = randomised(Recurrent(cell, 2, 3))
    x = torch.randn(2, 4, 2, dtype=torch.float64)
    chunk = trajectories(rnn, x)[0].chunk(0)
    derivative = Derivative(chunk)
    for offset in range(4):
        before = tuple(state.detach().requires_grad_() for state in chunk.states[offset])
        after = rnn.cells[0][0](x[:, offset], before if len(before) > 1 else before[0])  # type: ignore[operator]
        after = after if isinstance(after, tuple) else (after,)
        vectors = [torch.randn(5, *state.shape, dtype=torch.float64) for state in after]
        found = derivative.back(offset, vectors)
        for number in range(5):
            expected = torch.autograd.grad(
                after,
                before,
                [vector[number] for vector in vectors],
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one[number], other, rtol=1e-10, atol=1e-12)
