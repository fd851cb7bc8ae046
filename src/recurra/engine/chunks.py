"""A sequence in pieces: states are kept at the borders, and what lies between is computed again for the gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recurra.engine.backend import Call, Result

Run = Callable[[Call], Result]


def run_chunks(run: Run, call: Call, chunk: int) -> Result:
    """What `run` gives for `call`, in pieces of `chunk` steps."""
    results: list[Result] = []
    states = call.states
    for start in range(0, call.x.shape[1], chunk):
        piece = slice(start, start + chunk)
        size = call.x[:, piece].shape[1]
        lengths = None if call.lengths is None else (call.lengths - start).clamp(0, size)
        result = checkpoint(
            _run_piece, run, call, piece, states, lengths, use_reentrant=False, preserve_rng_state=False
        )
        results.append(result)
        states = result.states
    outputs = torch.cat([result.outputs for result in results], dim=1)
    gates = {name: torch.cat([result.gates[name] for result in results], dim=1) for name in results[0].gates}
    return Result(outputs, states, gates)


def _run_piece(
    run: Run, call: Call, piece: slice, states: tuple[Tensor, ...], lengths: Tensor | None
) -> Result:
    masks = {name: mask[:, piece] if mask.ndim == 3 else mask for name, mask in call.masks.items()}
    part = Call(call.program, call.parameters, call.x[:, piece], states, lengths, masks, call.return_gates)
    result: Result = run(part)
    return result
