"""A sequence in pieces: states are kept at the borders, and what lies between is computed again for the gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from recurra.engine.backend import Call, Result
from recurra.errors import StateError

Run = Callable[[Call], Result]


def run_chunks(run: Run, call: Call, chunk: int) -> Result:
    """What `run` gives for `call`, in pieces of `chunk` steps.

    Raises:
        StateError: in the backward pass, when something that is computed with again has been changed in place.
    """
    results: list[Result] = []
    used = {
        **call.parameters,
        "x": call.x,
        **dict(zip(call.program.states, call.states, strict=True)),
        **call.masks,
    }
    check = _Unchanged(used)
    states = call.states
    for start in range(0, call.x.shape[1], chunk):
        piece = slice(start, start + chunk)
        size = call.x[:, piece].shape[1]
        lengths = None if call.lengths is None else (call.lengths - start).clamp(0, size)
        result = checkpoint(
            _run_piece,
            run,
            call,
            piece,
            states,
            lengths,
            check,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        results.append(result)
        states = result.states
    outputs = torch.cat([result.outputs for result in results], dim=1)
    gates = {name: torch.cat([result.gates[name] for result in results], dim=1) for name in results[0].gates}
    return Result(outputs, states, gates)


class _Unchanged:
    """Checks that tensors have not been changed in place since it was made."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._versions = self._now()

    def _now(self) -> dict[str, int]:
        if torch.compiler.is_compiling():  # a graph has no changes in place left
            return {}
        return {name: one._version for name, one in self._tensors.items() if not one.is_inference()}

    def __call__(self) -> None:
        now = self._now()
        changed = [name for name, version in self._versions.items() if now.get(name, version) != version]
        if changed:
            raise StateError(
                f"chunk: {changed[0]} has been changed in place between the forward and the backward pass, which "
                "computes with it again; call backward() before the change, or leave chunk out."
            )


def _run_piece(
    run: Run,
    call: Call,
    piece: slice,
    states: tuple[Tensor, ...],
    lengths: Tensor | None,
    check_unchanged: Callable[[], None],
) -> Result:
    check_unchanged()
    masks = {name: mask[:, piece] if mask.ndim == 3 else mask for name, mask in call.masks.items()}
    part = replace(call, x=call.x[:, piece], states=states, lengths=lengths, masks=masks)
    result: Result = run(part)
    return result
