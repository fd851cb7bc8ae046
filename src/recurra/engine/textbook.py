"""The textbook backend: the loop over time as the course draws it.

It calls the cell step by step and copies nothing: no tracing, no plan, and PyTorch's autograd goes back through it.
B batch, T time, I input, H hidden.
"""

from __future__ import annotations

import torch
from torch.nn.utils.parametrize import cached

from recurra.cells.program import Program
from recurra.engine.backend import Call, Options, Result

NAME = "textbook"
DEVICE = None


def can_run(program: Program, options: Options) -> str | None:
    """Yes for every cell, as it is written: without changes to its step, and giving out its states only."""
    if options.changes:
        return f"it runs the cell as it is written, without {', '.join(options.changes)}"
    if options.return_gates:
        return "its loop does not give out the gates"
    if options.chunked:
        return "its loop keeps every step, so chunk= has no place in it"
    return None


def run(call: Call) -> Result:
    """The loop."""
    assert call.cell is not None
    state, outputs = call.states, []
    with cached():  # a parametrized weight is the same at every step
        for t in range(call.x.shape[1]):
            new = call.cell(call.x[:, t], state)  # [B, I] and the states [B, H]
            new = new if isinstance(new, tuple) else (new,)
            if call.lengths is None:
                state, output = new, new[0]
            else:  # rows that have ended keep their state, and their output is zero
                active = (t < call.lengths)[:, None]
                state = tuple(torch.where(active, value, old) for value, old in zip(new, state, strict=True))
                output = torch.where(active, new[0], 0.0)
            outputs.append(output)
    return Result(torch.stack(outputs, dim=1), state, {})
