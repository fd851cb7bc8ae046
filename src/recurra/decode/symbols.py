"""Which symbols may follow, and which of them are best; ties go to the lower id.

R rows being decoded, V vocabulary, T symbols decoded so far.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

BLOCK = 16
"""How many symbols are reduced to their maximum before the largest are looked for."""


def first_largest(scores: Tensor) -> Tensor:
    """The lowest id `[R]` among the largest of each row of `[R, V]`; `argmax` promises no order."""
    ids = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    return ids.where(scores == scores.amax(1, keepdim=True), scores.shape[1]).amin(1)


def best_symbols(log_probs: Tensor, count: int, excluded: Tensor) -> tuple[Tensor, Tensor]:
    """The `count` most probable symbols of each row, the most probable first, ties by the lower id.

    Args:
        log_probs: `[R, V]`, without NaN; not written to.
        count: how many, at least 1; V where it is larger.
        excluded: ids `[E]` that are never among them, on the CPU.

    Returns:
        Their log-probabilities and their ids, both `[R, min(count, V)]` on the CPU. A log-probability is
        -inf where fewer symbols than that have any probability; its id then means nothing.
    """
    size = log_probs.shape[1]
    wanted = min(count + len(excluded), size)
    top, top_ids = _largest(log_probs, min(wanted + 1, size))
    values, ids = top[:, :wanted].cpu(), top_ids[:, :wanted].cpu()
    # topk promises no order among equals: where the last one wanted equals the next, it may be the wrong one.
    if wanted < size:
        tied = (top[:, wanted - 1] == top[:, wanted]) & (top[:, wanted] > -math.inf)
        if bool(tied.any()):
            ordered, ordered_ids = log_probs[tied].sort(dim=1, descending=True, stable=True)
            values[tied.cpu()] = ordered[:, :wanted].cpu()
            ids[tied.cpu()] = ordered_ids[:, :wanted].cpu()
    ids, order = ids.sort(dim=1)
    values = values.gather(1, order).masked_fill(torch.isin(ids, excluded), -math.inf)
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values[:, :count], ids.gather(1, order)[:, :count]


def _largest(log_probs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest values `[R, count]` and their ids, like topk; ties in no particular order.

    The `count` columns with the largest maxima hold them, and a maximum is cheaper than topk.
    """
    columns = log_probs.shape[1] // BLOCK
    if columns < 4 * count:
        return log_probs.topk(count, dim=1)
    blocks = log_probs[:, : columns * BLOCK].unflatten(1, (BLOCK, columns))
    best = blocks.amax(1).topk(count, dim=1).indices  # [R, count]
    ids = torch.arange(log_probs.shape[1], device=log_probs.device)
    held, rest = ids[: columns * BLOCK].view(BLOCK, columns).T[best].flatten(1), ids[columns * BLOCK :]
    held = torch.cat([held, rest.expand(len(held), -1)], 1)  # [R, count * BLOCK + V % BLOCK]
    values, at = log_probs.gather(1, held).topk(count, dim=1)
    return values, held.gather(1, at)


def block_repeats(log_probs: Tensor, prefixes: Tensor, n: int) -> Tensor:
    """The log-probabilities `[R, V]`, -inf for each symbol that would repeat an n-gram of its prefix.

    Args:
        log_probs: `[R, V]`; not written to.
        prefixes: the symbols of each row so far, `[R, T]`, on the CPU.
        n: the length of the n-grams, at least 1.
    """
    if prefixes.shape[1] < n:
        return log_probs
    ngrams = prefixes.unfold(1, n, 1)  # [R, T - n + 1, n]
    tail = prefixes[:, prefixes.shape[1] - n + 1 :]  # [R, n - 1]
    rows, at = (ngrams[:, :, :-1] == tail[:, None]).all(2).nonzero(as_tuple=True)
    blocked = log_probs.clone()
    blocked[rows.to(blocked.device), ngrams[rows, at, -1].to(blocked.device)] = -math.inf
    return blocked
