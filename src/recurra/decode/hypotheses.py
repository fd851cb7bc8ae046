"""The results of a search, and the back-pointers from which they are read once the search is over.

S sources, R rows of one step, N hypotheses, K places in the pool of a source, T target length, Tx source length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """One sequence that a search gives.

    Attributes:
        ids: `[T]` (int64), the stop symbol last where the hypothesis is finished.
        log_prob: the sum of the symbols' natural log-probabilities, by the model itself.
        score: what hypotheses are ordered by: after `beam_search` the log-probability with its penalties,
            after `greedy` the log-probability. An unfinished one has no coverage penalty.
        attention: `[T, Tx]`, the attention with which each symbol was predicted, Tx being the longest source
            of the batch; None where the model has none.
        finished: the hypothesis ends with the stop symbol. Otherwise nothing of positive probability could
            end it within its limit, and this is as far as the search came.
    """

    ids: Tensor
    log_prob: float
    score: float
    attention: Tensor | None
    finished: bool


class History:
    """Back-pointers: for each step, the row of the step before and the symbol that led to each row."""

    def __init__(self) -> None:
        self.parents: list[Tensor] = []
        self.symbols: list[Tensor] = []
        self.attention: list[Tensor] = []

    def attend(self, attention: Tensor | None) -> None:
        """Keep a step's attention `[R, Tx]`, if there is any."""
        if attention is not None:
            self.attention.append(attention.cpu())

    def extend(self, parents: Tensor, symbols: Tensor) -> None:
        """The rows of the next step: `symbols` `[R]` following rows `parents` `[R]` of this one."""
        self.parents.append(parents)
        self.symbols.append(symbols)

    def read(self, steps: Tensor, rows: Tensor, stop: int) -> tuple[Tensor, Tensor | None]:
        """The symbols before row `rows[n]` of step `steps[n]`, for N rows, and the attention of all steps.

        Returns:
            ids `[N, T]`, `stop` from each row's end on, and attention `[N, T, Tx]`, whose values past the
            row's step mean nothing. T is one more than the largest step.
        """
        longest = int(steps.max())
        ids = torch.full((len(rows), longest + 1), stop, device="cpu")
        attention = []
        for step in range(longest, -1, -1):
            going = steps >= step
            here = rows.where(going, 0)
            if self.attention:
                attention.append(self.attention[step][here])
            if step:
                ids[:, step - 1] = self.symbols[step - 1][here].where(going, stop)
                rows = self.parents[step - 1][here].where(going, rows)
        return ids, torch.stack(attention[::-1], 1) if attention else None

    def hypotheses(self, pool: FinishedPool, stop: int) -> list[Hypothesis]:
        """One hypothesis per entry of a pool `[N]`, in their order."""
        if not len(pool.rows):
            return []
        ids, attention = self.read(pool.steps, pool.rows, stop)
        lengths = (pool.steps + pool.finished).tolist()
        values = zip(pool.log_probs.tolist(), pool.scores.tolist(), pool.finished.tolist(), strict=True)
        return [
            Hypothesis(
                ids[number, :length].clone(),
                log_prob,
                score,
                None if attention is None else attention[number, :length].clone(),
                finished,
            )
            for number, (length, (log_prob, score, finished)) in enumerate(zip(lengths, values, strict=True))
        ]


@dataclass
class FinishedPool:
    """The ends of hypotheses: fields of one shape, `[S, K]` for the best K of each source, or `[N]` for N of them.

    Attributes:
        scores: float64, -inf where a place is empty.
        log_probs: float64.
        steps: int64, how many symbols come before the stop symbol.
        rows: int64, the row of the step after them.
        finished: bool, the stop symbol follows; false where nothing could end the hypothesis.
    """

    scores: Tensor
    log_probs: Tensor
    steps: Tensor
    rows: Tensor
    finished: Tensor

    @classmethod
    def empty(cls, *shape: int) -> FinishedPool:
        """A pool in which every place is empty."""
        return cls(
            torch.full(shape, -math.inf, dtype=torch.float64, device="cpu"),
            torch.full(shape, -math.inf, dtype=torch.float64, device="cpu"),
            torch.zeros(shape, dtype=torch.int64, device="cpu"),
            torch.zeros(shape, dtype=torch.int64, device="cpu"),
            torch.zeros(shape, dtype=torch.bool, device="cpu"),
        )

    def fields(self) -> tuple[Tensor, ...]:
        """The tensors, in the order of their declaration."""
        return self.scores, self.log_probs, self.steps, self.rows, self.finished

    def put(self, where: Tensor, others: FinishedPool) -> None:
        """Write `others` at the indices or mask `where` of the first dimension."""
        for mine, theirs in zip(self.fields(), others.fields(), strict=True):
            mine[where] = theirs

    def add(self, sources: Tensor, others: FinishedPool) -> None:
        """Add `others` `[A, W]` to the places of `sources` `[A]`; each source keeps its best K.

        A tie goes to the one that was added first, and among `others` to the one further left.
        """
        places = self.scores.shape[1]
        joined = [
            torch.cat([mine[sources], theirs], 1)
            for mine, theirs in zip(self.fields(), others.fields(), strict=True)
        ]
        order = joined[0].argsort(dim=1, descending=True, stable=True)[:, :places]
        for mine, both in zip(self.fields(), joined, strict=True):
            mine[sources] = both.gather(1, order)
