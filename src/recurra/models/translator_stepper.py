"""An encoder–decoder as decoding sees it: one target symbol at a time, for any number of rows per source.

S sources, R rows, K rows of the source that has most, Tx source length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recurra.contracts import Step
from recurra.layers.attention import Attention, Memory
from recurra.layers.mode import evaluating
from recurra.models.decoder import DecoderState

if TYPE_CHECKING:
    from recurra.models.encoder_decoder import EncoderDecoder

FEWER = 0.75  # sources that are left are moved together once they are no more than this share


@dataclass(frozen=True)
class SourceRows:
    """Which source each row translates, and where the row stands among those of its source.

    Attributes:
        sources: `[R]`, a row of the memory each.
        slots: `[R]`, from 0 to `depth` − 1.
        depth: K.
    """

    sources: Tensor
    slots: Tensor
    depth: int

    @classmethod
    def of(cls, sources: Tensor, count: int) -> SourceRows:
        """The rows of sources `[R]`, each from 0 to `count` − 1, in any order."""
        counts = torch.bincount(sources, minlength=count)
        order = torch.argsort(sources, stable=True)
        firsts = counts.cumsum(0) - counts
        slots = torch.empty_like(sources)
        slots[order] = torch.arange(len(sources), device=sources.device) - firsts[sources[order]]
        return cls(sources, slots, int(counts.max()) if len(sources) else 0)


@dataclass(frozen=True)
class TranslatorState:
    """The state of a `TranslatorStepper`: what the decoder carries, and what its rows attend to.

    The memory is held once per source, not once per row.
    """

    carried: DecoderState
    rows: SourceRows
    memory: Memory | None


class TranslatorStepper:
    """A `Stepper` over an encoder–decoder, bound to S sources; row s of `start` translates source s.

    It holds the weights as they are when it is made and computes in evaluation mode.

    Args:
        model: whose.
        source: ids `[S, Tx]`.
        lengths: `[S]`.
        weights: as in `Recurrent.streaming`.
    """

    def __init__(
        self, model: EncoderDecoder, source: Tensor, lengths: Tensor, weights: str | None = None
    ) -> None:
        self._model, self._source, self._lengths = model, source, lengths
        self._steps = [layers.streaming(weights) for layers in model.decoder.layers]  # type: ignore[operator]

    @torch.no_grad()
    def start(self) -> Step:
        """The distribution over the first symbol, after the zero input vector, one row per source."""
        with evaluating(self._model):
            memory, carried = self._model.encode(self._source, self._lengths)
        count = self._source.shape[0]
        rows = SourceRows.of(torch.arange(count, device=self._source.device), count)
        return self._next(torch.full_like(rows.sources, -1), TranslatorState(carried, rows, memory))

    @torch.no_grad()
    def step(self, symbols: Tensor, state: TranslatorState) -> Step:
        """The distribution after `symbols` `[R]`."""
        return self._next(symbols, state)

    def select(self, state: TranslatorState, rows: Tensor) -> TranslatorState:
        """The given rows `[R]` of a state; sources that no row is left of are dropped."""
        sources, memory = state.rows.sources.index_select(0, rows), state.memory
        carried = state.carried.select(rows)
        if memory is None:
            return TranslatorState(carried, SourceRows(sources, sources, 0), None)
        count = memory.values.shape[0]
        left, where = torch.unique(sources, return_inverse=True)
        if len(left) <= FEWER * count:
            sources, memory, count = where, memory.select(left), len(left)
        return TranslatorState(carried, SourceRows.of(sources, count), memory)

    def _next(self, symbols: Tensor, state: TranslatorState) -> Step:
        model, decoder = self._model, self._model.decoder
        attend = None
        if decoder.attention is not None and state.memory is not None:
            attend = _Attend(decoder.attention, state.memory, state.rows)
        with evaluating(model):
            embedded = model.embed_target(symbols)
            features, weights, carried = decoder.step(embedded, state.carried, attend, self._steps)
        return Step(model.log_probs(features), TranslatorState(carried, state.rows, state.memory), weights)


class _Attend:
    """Attention of rows `[R]` to sources `[S]`: the rows of a source ask together."""

    def __init__(self, attention: Attention, memory: Memory, rows: SourceRows) -> None:
        self._attention, self._memory, self._rows = attention, memory, rows

    def __call__(self, query: Tensor) -> tuple[Tensor, Tensor]:
        rows = self._rows
        together = query.new_zeros(self._memory.values.shape[0], rows.depth, query.shape[-1])
        together[rows.sources, rows.slots] = query
        context, weights = self._attention(together, self._memory)
        return context[rows.sources, rows.slots], weights[rows.sources, rows.slots]
