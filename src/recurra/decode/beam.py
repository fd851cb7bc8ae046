"""Beam search over the Stepper protocol, for all sources of a batch at once.

Up to K live hypotheses per source are extended together. Every extension by the stop symbol is finished and
goes to the source's pool, which keeps the best K by score; of the best K of the other extensions, by log P, those
live on that can still enter it. A source leaves the batch when none can.

S sources, A sources still searched, R their live hypotheses (rows), W the largest number of rows of one source,
K beam size, C candidates per row, V vocabulary, T target length, Tx source length.
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
from recurra.decode.scores import coverage_penalty, length_penalty
from recurra.decode.symbols import best_symbols, block_repeats
from recurra.decode.trace import Trace
from recurra.errors import ConfigError, ShapeError


@torch.no_grad()
def beam_search(
    stepper: Stepper,
    config: BeamConfig,
    *,
    stop: int,
    max_lengths: Sequence[int] | Tensor,
    source_lengths: Sequence[int] | Tensor | None = None,
    forbid: Sequence[int] = (),
    trace: Trace | None = None,
) -> list[list[Hypothesis]]:
    """The best hypotheses of each source the stepper is bound to.

    Ties go to the hypothesis that finished first, then to the one higher in the beam, then to the lower id.
    Batch size, the order of the sources and `n_best` change nothing.

    Args:
        stepper: a model bound to S sources.
        config: width, penalties and limits; its `max_length` is not read here.
        stop: the id that ends a sequence.
        max_lengths: `[S]`, maximum length per source, the stop symbol included; `config.limits` gives them.
            At the last of them only the stop symbol may follow.
        source_lengths: `[S]`, where the padding of each source begins; needed for a coverage penalty.
        forbid: ids that are never taken; UNK, for example.
        trace: filled with the candidates of the search, to draw them; slows the search down.

    Returns:
        Up to `n_best` finished hypotheses per source, best first. A source that nothing of positive
        probability can end gets its most probable unfinished one, alone.

    Raises:
        ConfigError: a symbol or limit is out of range, or the coverage penalty lacks what it needs.
        ShapeError: the limits do not fit the sources, or the model's log-probabilities are NaN.
    """
    search = _Search(stepper, config, stop, max_lengths, source_lengths, tuple(forbid), trace)
    while len(search.sources):
        search.advance()
    pool = search.pool
    filled = pool.scores[:, : config.n_best] > -math.inf  # [S, n_best]
    best = FinishedPool(*(field[:, : config.n_best][filled] for field in pool.fields()))
    hypotheses = iter(search.history.hypotheses(best, stop))
    return [[next(hypotheses) for _ in range(count)] for count in filled.sum(1).tolist()]


class _Search:
    """The live hypotheses of every source still searched, and the pools of all."""

    def __init__(
        self,
        stepper: Stepper,
        config: BeamConfig,
        stop: int,
        max_lengths: Sequence[int] | Tensor,
        source_lengths: Sequence[int] | Tensor | None,
        forbid: tuple[int, ...],
        trace: Trace | None,
    ) -> None:
        self.stepper, self.config, self.stop, self.trace = stepper, config, stop, trace
        self.step = stepper.start()
        count, size = self.step.log_probs.shape
        check_searchable(stop, forbid, size)
        self.excluded = torch.tensor(sorted({stop, *forbid}), device="cpu")
        self.limits = length_limits(max_lengths, count, config.min_length)
        longest = int(self.limits.max()) if count else 0
        # Nothing is 0 symbols long but an unfinished hypothesis that never began, whose log P is 0.
        lengths = torch.arange(longest + 2, device="cpu").clamp(min=1)
        self.penalties = length_penalty(lengths, config.length_penalty, config.penalty)  # by length
        self.coverage, self.source_lengths = self._start_coverage(source_lengths)
        self.sources = torch.arange(count, device="cpu")  # [A]
        # [A, W]; the rows are its true places in order
        self.live = torch.ones((count, 1), dtype=torch.bool, device="cpu")
        self.log_probs = torch.zeros(count, dtype=torch.float64, device="cpu")  # [R]
        # [R, T], for n-gram blocking
        self.prefixes = torch.zeros((count, 0), dtype=torch.int64, device="cpu")
        self.length = 1  # of the hypotheses that this step's symbols make
        self.pool, self.history = FinishedPool.empty(count, config.beam_size), History()

    def _start_coverage(self, source_lengths: Sequence[int] | Tensor | None) -> tuple[Tensor | None, Tensor]:
        """The coverage `[R, Tx]` before the first step, or None where it does not count; and the lengths."""
        if not self.config.coverage_penalty:
            return None, torch.empty(0, device="cpu")
        attention = self.step.attention
        if attention is None:
            raise ConfigError("coverage_penalty: this model has no attention; leave it at 0.")
        if source_lengths is None:
            raise ConfigError(
                "source_lengths: a coverage penalty needs the length of each source; give them."
            )
        lengths = torch.as_tensor(source_lengths, device="cpu")
        if lengths.shape != attention.shape[:1]:
            raise ShapeError(
                f"source_lengths: expected one for each of the {len(attention)} sources, "
                f"got {list(lengths.shape)}."
            )
        return torch.zeros(attention.shape, dtype=torch.float64, device="cpu"), lengths

    def advance(self) -> None:
        """One symbol more: finish, extend, drop the sources that are done, and ask the model again."""
        covered = self._cover()
        log_probs = self.step.log_probs
        check_log_probs(log_probs)
        ended = self._finish(log_probs[:, self.stop].cpu(), covered)
        if self.config.no_repeat_ngram:
            log_probs = block_repeats(log_probs, self.prefixes, self.config.no_repeat_ngram)
        values, ids = best_symbols(log_probs, self.config.beam_size, self.excluded)  # [R, C]
        totals = self.log_probs[:, None] + values  # float64, whatever the model computes in
        best, parents, ranks = self._best(totals)  # [A, K]
        live = self._can_still_enter_pool(best)
        going = live[:, 0]  # hypotheses are in order, and the first of a source has the best prospects
        parents, ranks, kept = parents[live], ranks[live], best[live]
        symbols = ids[parents, ranks]
        if self.trace is not None:
            sources = self._of_row(self.sources)
            scores = totals / self.penalties[self.length] + covered[:, None]
            self.trace.record(
                sources, self.length, (ids, totals, scores), self.stop, ended, (parents, symbols)
            )
        self.history.extend(parents, symbols)
        self.log_probs, self.sources = kept, self.sources[going]
        self.live = live[going][:, : int(live.sum(1).max())]
        if self.config.no_repeat_ngram:
            self.prefixes = torch.cat([self.prefixes[parents], symbols[:, None]], 1)
        if self.coverage is not None:
            self.coverage = self.coverage[parents]
        self.length += 1
        if len(self.sources):
            device = log_probs.device
            state = self.stepper.select(self.step.state, parents.to(device))
            self.step = self.stepper.step(symbols.to(device), state)

    def _cover(self) -> Tensor:
        """Take in this step's attention; the coverage penalty of each row `[R]` with it, float64."""
        self.history.attend(self.step.attention)
        if self.coverage is None or self.step.attention is None:
            return torch.zeros_like(self.log_probs)
        self.coverage = self.coverage + self.step.attention.cpu().double()
        lengths = self._of_row(self.source_lengths[self.sources])
        return coverage_penalty(self.coverage, lengths, self.config.coverage_penalty)

    def _finish(self, stop_log_probs: Tensor, covered: Tensor) -> tuple[Tensor, Tensor]:
        """Add every row's extension by the stop symbol to the pools; their log P and scores `[R]`."""
        ended = self.log_probs + stop_log_probs
        if self.length < self.config.min_length:
            ended = torch.full_like(ended, -math.inf)
        scores = ended / self.penalties[self.length] + covered
        rows = torch.arange(len(ended), device="cpu")
        steps = torch.full_like(rows, self.length - 1)
        fields = (scores, ended, steps, rows, ended > -math.inf)
        self.pool.add(
            self.sources,
            FinishedPool(
                *(
                    self._pad_by_source(field, empty)
                    for field, empty in zip(fields, (-math.inf, -math.inf, 0, 0, False), strict=True)
                )
            ),
        )
        return ended, scores

    def _best(self, totals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best K extensions of each source: log P, -inf where there are fewer, parent row, and rank.

        All `[A, K]`. At a source's last position none but the stop symbol may follow, so there it has none.
        """
        totals = self._pad_by_source(totals, -math.inf)  # [A, W, C]
        last = self.limits[self.sources] <= self.length
        flat = totals.masked_fill(last[:, None, None], -math.inf).flatten(1)
        # Stable: equals stay ordered by their place in the beam, then by id.
        best, chosen = flat.sort(dim=1, descending=True, stable=True)
        best, chosen = best[:, : self.config.beam_size], chosen[:, : self.config.beam_size]
        rows = self._pad_by_source(torch.arange(len(self.log_probs), device="cpu"), 0)  # [A, W]
        candidates = totals.shape[2]
        return best, rows.gather(1, chosen // candidates), chosen % candidates

    def _can_still_enter_pool(self, best: Tensor) -> Tensor:
        """Which of the best extensions can still enter their source's pool, given their log P; both `[A, K]`.

        The log P of what follows can only fall, and its coverage penalty is at most 0, so log P divided by
        the largest (or, at log P above 0 by rounding, smallest) penalty still reachable bounds its score.
        A source that has nothing finished and nothing to extend leaves its best unfinished one in its pool.
        """
        scores = self.pool.scores[self.sources]  # [A, K]
        stuck = (best[:, 0] == -math.inf) & (scores[:, 0] == -math.inf)
        if bool(stuck.any()):
            self._leave_unfinished(stuck)
        soonest = self.penalties[max(self.length + 1, self.config.min_length)]
        furthest = self.penalties[self.limits[self.sources], None]
        bound = torch.maximum(best / furthest, best / soonest)
        return (best > -math.inf) & (bound > scores[:, -1:])

    def _leave_unfinished(self, stuck: Tensor) -> None:
        """Put the first live row of the sources `stuck` `[A]` (bool) into their pools as it stands."""
        rows = self._pad_by_source(torch.arange(len(self.log_probs), device="cpu"), 0)[stuck, :1]
        log_probs, steps = self.log_probs[rows], torch.full_like(rows, self.length - 1)
        scores = log_probs / self.penalties[self.length - 1]
        self.pool.add(
            self.sources[stuck],
            FinishedPool(scores, log_probs, steps, rows, torch.zeros_like(rows, dtype=torch.bool)),
        )

    def _pad_by_source(self, of_rows: Tensor, empty: float) -> Tensor:
        """Values of the rows `[R, ...]` as `[A, W, ...]`, `empty` in places without a row."""
        shape = (*self.live.shape, *of_rows.shape[1:])
        if len(of_rows) == self.live.numel():
            return of_rows.view(shape)
        padded = of_rows.new_full(shape, empty)
        padded[self.live] = of_rows
        return padded

    def _of_row(self, of_sources: Tensor) -> Tensor:
        """Values of the searched sources `[A]`, repeated for each of their rows: `[R]`."""
        return of_sources[:, None].expand_as(self.live)[self.live]
