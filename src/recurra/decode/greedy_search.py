"""Greedy decoding over the Stepper protocol: the most probable symbol, again and again.

S sources, A sources still going (rows), V vocabulary, T symbols decoded so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.contracts import Stepper
from recurra.decode.checks import check_log_probs, check_searchable, length_limits
from recurra.decode.hypotheses import Ends, History, Hypothesis
from recurra.decode.symbols import block_repeats, first_largest


@torch.no_grad()
def greedy(
    stepper: Stepper,
    *,
    stop: int,
    max_lengths: Sequence[int] | Tensor,
    min_length: int = 1,
    no_repeat_ngram: int = 0,
    forbid: Sequence[int] = (),
) -> list[Hypothesis]:
    """One hypothesis per source: at each step the most probable symbol, ties by the lower id.

    Args:
        stepper: a model bound to S sources.
        stop: the id that ends a sequence.
        max_lengths: `[S]`, the most symbols per source, the stop symbol counted. At the last of them only
            the stop symbol may follow.
        min_length: the fewest symbols, the stop symbol counted; at least 1.
        no_repeat_ngram: no sequence of this many symbols occurs twice, the stop symbol aside; 0 allows all.
        forbid: ids that are never taken.

    Returns:
        S hypotheses. One is unfinished where no symbol that was allowed had any probability.

    Raises:
        ConfigError: a symbol or limit is out of range.
        ShapeError: the limits do not fit the sources, or the model's log-probabilities are NaN.
    """
    step = stepper.start()
    count, size = step.log_probs.shape
    check_searchable(stop, forbid, size)
    limits = length_limits(max_lengths, count, min_length)
    excluded = torch.tensor(sorted(set(forbid)), dtype=torch.int64, device="cpu")
    history, ends = History(), Ends.empty(count)
    sources, sums = torch.arange(count, device="cpu"), torch.zeros(count, dtype=torch.float64, device="cpu")
    prefixes = torch.zeros((count, 0), dtype=torch.int64, device="cpu")  # [A, T]
    while len(sources):
        history.attend(step.attention)
        check_log_probs(step.log_probs)
        length = prefixes.shape[1] + 1  # with this step's symbol
        allowed = step.log_probs.to("cpu", torch.float64).index_fill(1, excluded, -math.inf)  # [A, V]
        if no_repeat_ngram:
            allowed = block_repeats(allowed, prefixes, no_repeat_ngram)
        if length < min_length:
            allowed[:, stop] = -math.inf
        ending = allowed[:, stop].clone()
        last = limits[sources] == length
        allowed[last] = -math.inf
        allowed[last, stop] = ending[last]

        symbols = first_largest(allowed)
        own = allowed.gather(1, symbols[:, None])[:, 0]
        possible = own > -math.inf
        sums = torch.where(possible, sums + own, sums)
        ended = (symbols == stop) | ~possible
        rows = ended.nonzero()[:, 0]
        steps = torch.full_like(rows, length - 1)
        ends.put(sources[ended], Ends(sums[ended], sums[ended], steps, rows, possible[ended]))

        going = (~ended).nonzero()[:, 0]
        history.extend(going, symbols[going])
        sources, sums = sources[going], sums[going]
        prefixes = torch.cat([prefixes[going], symbols[going, None]], 1)
        if len(going):
            device = step.log_probs.device
            state = step.state if not len(rows) else stepper.select(step.state, going.to(device))
            step = stepper.step(symbols[going].to(device), state)
    return history.hypotheses(ends, stop)
