"""The gradient of the hidden weights, which generated kernels leave to the vendor's matrix product.

H hidden, G gates, N steps of all rows together.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recurra.engine.plan import Place, StepPlan


def weight_gradient(step: StepPlan, d_rows: Tensor, operand: Callable[[Place], Tensor]) -> Tensor:
    """The gradient `[G * H, H]`: one product over all steps of all rows for each operand.

    Args:
        step: the program's plan.
        d_rows: of the hidden halves, `[N, G * H]`.
        operand: gives `[N, H]` for what `step.operands` names, of every step.
    """
    gates = step.program.hidden_gates
    hidden = d_rows.shape[1] // len(gates)
    gradient = d_rows.new_zeros(d_rows.shape[1], hidden)
    for product in step.program.products:
        multiplied = operand(step.operands[product.gates[0]])
        numbers = [gates.index(gate) for gate in product.gates]
        together = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        for first, count in [(numbers[0], len(numbers))] if together else [(number, 1) for number in numbers]:
            rows = slice(first * hidden, (first + count) * hidden)
            torch.mm(d_rows[:, rows].T, multiplied, out=gradient[rows])
    return gradient
