"""A model behind the Stepper protocol that is a table, and what decoding must find in it, by other means.

S sources, R rows, V vocabulary, T target length, Tx source length, K beam size.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recurra.contracts import Step
from recurra.decode import BeamConfig

STOP = 0


@dataclass
class Toy:
    """Its distribution is looked up by source and by every symbol read so far; the state is (source, code).

    `log_probs` is [S, codes, V], `attention` [S, codes, Tx] or None; a prefix's code is
    ((0 V + first + 1) V + second + 1) ..., so that no two prefixes share one. `rows` counts what is asked.
    """

    log_probs: Tensor
    attention: Tensor | None
    source_lengths: list[int]
    rows: list[int] = field(default_factory=list)

    def start(self) -> Step:
        sources = torch.arange(len(self.log_probs))
        return self._say((sources, torch.zeros_like(sources)))

    def step(self, symbols: Tensor, state: tuple[Tensor, Tensor]) -> Step:
        assert symbols.dtype == torch.int64
        sources, codes = state
        assert symbols.shape == codes.shape
        return self._say((sources, codes * self.log_probs.shape[2] + symbols + 1))

    def select(self, state: tuple[Tensor, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        return state[0][rows], state[1][rows]

    def _say(self, state: tuple[Tensor, Tensor]) -> Step:
        self.rows.append(len(state[0]))
        attention = None if self.attention is None else self.attention[state]
        return Step(self.log_probs[state], state, attention)

    def only(self, sources: list[int]) -> Toy:
        """The same model bound to some of the sources, padded no further than they need."""
        lengths = [self.source_lengths[source] for source in sources]
        attention = None if self.attention is None else self.attention[sources][:, :, : max(lengths)]
        return Toy(self.log_probs[sources], attention, lengths)

    def code(self, prefix: tuple[int, ...]) -> int:
        code = 0
        for symbol in prefix:
            code = code * self.log_probs.shape[2] + symbol + 1
        return code

    def log_prob(self, source: int, ids: tuple[int, ...]) -> float:
        """log P of the symbols, added up from the table."""
        looked_up = [self.log_probs[source, self.code(ids[:t]), symbol] for t, symbol in enumerate(ids)]
        return sum(value.item() for value in looked_up)

    def score(self, source: int, ids: tuple[int, ...], config: BeamConfig) -> float:
        """The score of a finished sequence, written out."""
        length = len(ids) if config.penalty == "power" else (5 + len(ids)) / 6
        covered = 0.0
        if config.coverage_penalty:
            assert self.attention is not None
            for position in range(self.source_lengths[source]):
                seen = sum(
                    self.attention[source, self.code(ids[:t]), position].item() for t in range(len(ids))
                )
                covered += math.log(min(seen, 1.0))
        return self.log_prob(source, ids) / length**config.length_penalty + config.coverage_penalty * covered


def toy(
    vocabulary: int = 4,
    longest: int = 5,
    source_lengths: tuple[int, ...] = (4, 1, 3),
    *,
    seed: int = 0,
    impossible: float = 0.1,
    attention: bool = True,
) -> Toy:
    """A random one, float64; a share of its symbols has probability 0 and its padding no attention."""
    generator = torch.Generator().manual_seed(seed)
    codes = sum(vocabulary**t for t in range(longest))
    shape = (len(source_lengths), codes, vocabulary)
    logits = 1.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    logits[torch.rand(shape, generator=generator) < impossible] = -math.inf
    logits[..., -1] = logits[..., -1].nan_to_num(neginf=-1.0)  # something always has a probability
    energies = 2 * torch.randn(
        (len(source_lengths), codes, max(source_lengths)), generator=generator, dtype=torch.float64
    )
    padding = torch.arange(max(source_lengths)) >= torch.tensor(source_lengths)[:, None]
    weights = energies.masked_fill(padding[:, None], -math.inf).softmax(2)
    return Toy(logits.log_softmax(2), weights if attention else None, list(source_lengths))


def chain(first: list[float], *after: list[float]) -> Toy:
    """One source whose distribution depends on the position alone; no position after the last is asked for."""
    size = len(first)
    rows = [torch.tensor(row, dtype=torch.float64).log() for row in (first, *after)]
    by_code = [row for t, row in enumerate(rows) for _ in range(size**t)]
    return Toy(torch.stack(by_code)[None], None, [1])


def repeats(ids: tuple[int, ...], n: int) -> bool:
    """Whether an n-gram occurs twice."""
    ngrams = [ids[at : at + n] for at in range(len(ids) - n + 1)]
    return n > 0 and len(set(ngrams)) < len(ngrams)


def exhaustive(
    model: Toy, source: int, config: BeamConfig, limit: int
) -> list[tuple[float, tuple[int, ...]]]:
    """Every finished sequence of positive probability within the limits with its score, best first."""
    symbols = [symbol for symbol in range(model.log_probs.shape[2]) if symbol != STOP]
    found = [
        (model.score(source, (*ids, STOP), config), (*ids, STOP))
        for length in range(config.min_length, limit + 1)
        for ids in itertools.product(symbols, repeat=length - 1)
        if not repeats(ids, config.no_repeat_ngram) and model.log_prob(source, (*ids, STOP)) > -math.inf
    ]
    return sorted(found, key=lambda pair: -pair[0])


def plain_beam(
    model: Toy, source: int, config: BeamConfig, limit: int
) -> list[tuple[float, tuple[int, ...]]]:
    """Beam search of one source as a plain loop that never stops early; the pool, best first."""
    live: list[tuple[int, ...]] = [()]
    pool: list[tuple[float, tuple[int, ...]]] = []
    for length in range(1, limit + 1):
        ends = [(*ids, STOP) for ids in live if length >= config.min_length]
        pool += [(model.score(source, ids, config), ids) for ids in ends]
        extended = [(*ids, symbol) for ids in live for symbol in range(model.log_probs.shape[2])]
        allowed = [
            (model.log_prob(source, ids), ids)
            for ids in extended
            if ids[-1] != STOP and not repeats(ids, config.no_repeat_ngram)
        ]
        ordered = sorted(allowed, key=lambda pair: -pair[0])  # stable: by place in the beam, then by id
        live = [ids for log_prob, ids in ordered[: config.beam_size] if log_prob > -math.inf]
    finished = sorted((pair for pair in pool if pair[0] > -math.inf), key=lambda pair: -pair[0])
    return finished[: config.beam_size]
