"""The probability of given sequences by a model behind the Stepper protocol.

S sources, A sources whose sequence is not over (rows), V vocabulary, T target length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.contracts import Stepper
from recurra.decode.checks import check_log_probs
from recurra.errors import ShapeError


@torch.no_grad()
def score_targets(stepper: Stepper, targets: Sequence[Tensor]) -> list[float]:
    """log P of a given sequence for each source the stepper is bound to.

    Args:
        stepper: a model bound to S sources.
        targets: S sequences of ids `[T]`, the stop symbol included where its probability is to count; an
            empty one has log P 0.

    Returns:
        S natural logarithms, summed in float64; -inf where a symbol has no probability.

    Raises:
        ShapeError: the targets do not fit the sources or the vocabulary, or the model's log-probabilities
            are NaN.
    """
    step = stepper.start()
    count, size = step.log_probs.shape
    _check(targets, count, size)
    lengths = torch.tensor([len(target) for target in targets], device="cpu")
    ids = torch.zeros((count, int(lengths.max()) if count else 0), dtype=torch.int64, device="cpu")  # [S, T]
    for row, target in enumerate(targets):
        ids[row, : len(target)] = target
    sums = torch.zeros(count, dtype=torch.float64, device="cpu")
    sources = torch.arange(count, device="cpu")  # [A]
    for position in range(ids.shape[1]):
        check_log_probs(step.log_probs)
        symbols = ids[sources, position].to(step.log_probs.device)
        of_symbols = step.log_probs.gather(1, symbols[:, None])[:, 0].cpu().double()
        # An empty target has no first symbol.
        sums[sources] += of_symbols.where(lengths[sources] > position, 0.0)
        going = (lengths[sources] > position + 1).nonzero()[:, 0]
        if not len(going):
            break
        rows = going.to(symbols.device)
        state = step.state if len(going) == len(sources) else stepper.select(step.state, rows)
        step, sources = stepper.step(symbols[rows], state), sources[going]
    return sums.tolist()


def _check(targets: Sequence[Tensor], sources: int, size: int) -> None:
    if len(targets) != sources:
        raise ShapeError(f"targets: expected one for each of the {sources} sources, got {len(targets)}.")
    for number, target in enumerate(targets):
        fits = target.ndim == 1 and not target.is_floating_point()
        if not fits or (len(target) and not (int(target.min()) >= 0 and int(target.max()) < size)):
            raise ShapeError(
                f"targets: expected ids [T] from 0 to {size - 1}, got {target.tolist()} for source {number}."
            )
