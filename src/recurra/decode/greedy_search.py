"""Greedy decoding over the Stepper protocol: the most probable symbol, again and again.

S sources, A sources whose output has not ended (rows), V vocabulary, T symbols decoded so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.contracts import Stepper
from recurra.decode.checks import check_log_probs, check_searchable, length_limits
from recurra.decode.config import BeamConfig
from recurra.decode.hypotheses import FinishedPool, History, Hypothesis
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
        max_lengths: `[S]`, maximum length per source, the stop symbol included. At the last of them only
            the stop symbol may follow.
        min_length: minimum length, the stop symbol included; at least 1.
        no_repeat_ngram: no sequence of so many symbols occurs twice, the stop symbol excepted; 0 allows all.
        forbid: ids that are never taken.

    Returns:
        S hypotheses. One is unfinished where no symbol that was allowed had any probability.

    Raises:
        ConfigError: a symbol or limit is out of range.
        ShapeError: the limits do not fit the sources, or the model's log-probabilities are NaN.
    """
    # Its ranges are checked where those of a beam search are.
    config = BeamConfig(beam_size=1, min_length=min_length, no_repeat_ngram=no_repeat_ngram)
    step = stepper.start()
    count, size = step.log_probs.shape
    check_searchable(stop, forbid, size)
    limits = length_limits(max_lengths, count, min_length)
    excluded = torch.tensor(sorted(set(forbid)), dtype=torch.int64, device="cpu")
    history, ends = History(), FinishedPool.empty(count)
    sources, sums = torch.arange(count, device="cpu"), torch.zeros(count, dtype=torch.float64, device="cpu")
    prefixes = torch.zeros((count, 0), dtype=torch.int64, device="cpu")  # [A, T]
    while len(sources):
        history.attend(step.attention)
        allowed = _allowed(step.log_probs, prefixes, limits[sources], config, stop, excluded)
        symbols = first_largest(allowed)
        of_symbols = allowed.gather(1, symbols[:, None])[:, 0]
        possible = of_symbols > -math.inf
        sums = torch.where(possible, sums + of_symbols, sums)
        ended = (symbols == stop) | ~possible
        rows = ended.nonzero()[:, 0]
        steps = torch.full_like(rows, prefixes.shape[1])
        ends.put(sources[ended], FinishedPool(sums[ended], sums[ended], steps, rows, possible[ended]))

        going = (~ended).nonzero()[:, 0]
        history.extend(going, symbols[going])
        sources, sums = sources[going], sums[going]
        prefixes = torch.cat([prefixes[going], symbols[going, None]], 1)
        if len(going):
            device = step.log_probs.device
            state = step.state if not len(rows) else stepper.select(step.state, going.to(device))
            step = stepper.step(symbols[going].to(device), state)
    return history.hypotheses(ends, stop)


def _allowed(
    log_probs: Tensor, prefixes: Tensor, limits: Tensor, config: BeamConfig, stop: int, excluded: Tensor
) -> Tensor:
    """The log-probabilities `[A, V]` of the symbols that may follow, -inf for the others; float64 on the CPU.

    Args:
        log_probs: `[A, V]`; not written to.
        prefixes: the symbols so far, `[A, T]`.
        limits: maximum length per row `[A]`, the stop symbol included.
        config: minimum length and n-gram blocking.
        stop: the id that ends a sequence.
        excluded: ids that are never taken.
    """
    check_log_probs(log_probs)
    length = prefixes.shape[1] + 1  # with this step's symbol
    allowed = log_probs.to("cpu", torch.float64).index_fill(1, excluded, -math.inf)
    if config.no_repeat_ngram:
        allowed = block_repeats(allowed, prefixes, config.no_repeat_ngram)
    if length < config.min_length:
        allowed[:, stop] = -math.inf
    ending = allowed[:, stop].clone()
    last = limits == length
    allowed[last] = -math.inf
    allowed[last, stop] = ending[last]
    return allowed
