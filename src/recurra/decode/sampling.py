"""Sampling: symbols drawn one after the other from what a model says, over the Stepper protocol.

A sample starts from the stepper's state before the first symbol, reads the prompt, then draws until the
stop symbol or the limit. Sample number k draws from its own generator, keyed by (seed, k), one uniform
number per symbol (one per key for note sets), so neither its neighbours nor `max_length` change it.

S sources (the rows a stepper is bound to), R rows being drawn, V vocabulary (or keys), P prompt length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.contracts import Step, Stepper
from recurra.decode.checks import check_log_probs
from recurra.decode.config import SamplingConfig
from recurra.decode.drawing import drawing_of
from recurra.settings import check_number

ROWS_AT_ONCE = 64
"""How many samples go through the model together; it bounds memory and changes no sample."""

NUMBERS_AT_ONCE = 64
"""How many steps' uniform numbers a generator hands out at once; fixed, so that the limit changes nothing."""


@dataclass(frozen=True)
class Sample:
    """One finished sample.

    Attributes:
        ids: the symbols drawn, without the prompt: ids `[T]`, the stop symbol included where it was drawn;
            or note sets `[T, V]` of 0 and 1. On the CPU, int64.
        log_prob: the sum of the symbols' natural log-probabilities given the prompt, by the model itself:
            at temperature 1, with nothing filtered or forbidden, whatever they were drawn with.
        stopped: the last symbol is the stop symbol; otherwise the limit ended the sample.
    """

    ids: Tensor
    log_prob: float
    stopped: bool


@dataclass(frozen=True)
class Drawn:
    """The symbols of one step, for the samples that have not ended.

    Attributes:
        numbers: which samples, their numbers, R of them.
        symbols: ids `[R]` (int64), or note sets `[R, V]` (0 or 1, int64).
        log_probs: `[R]` (float64), by the model itself, as in `Sample`.
        stopped: `[R]` (bool), true where the symbol is the stop symbol.
    """

    numbers: tuple[int, ...]
    symbols: Tensor
    log_probs: Tensor
    stopped: Tensor


def sample(
    stepper: Stepper,
    config: SamplingConfig,
    n: int = 1,
    *,
    prompt: Sequence[int] | Tensor = (),
    stop: int | None = None,
    forbid: Sequence[int] = (),
    first_number: int = 0,
) -> Iterator[Sample]:
    """Draw `n` samples for each source the stepper is bound to.

    Args:
        stepper: a model bound to S sources; a language model needs one, however large `n` is.
        config: temperature, filters, limit and seed.
        n: samples per source; at least 1.
        prompt: what every sample reads before it draws: ids `[P]`, or note sets `[P, V]`.
        stop: the id that ends a sample, or None to run to the limit.
        forbid: ids (or keys) that are never drawn; UNK, for example.
        first_number: the number of the first sample, for continuing where an earlier call ended.

    Returns:
        The samples in the order of their numbers: source 0's n, then source 1's, and so on. They are
        drawn as they are asked for, `ROWS_AT_ONCE` together.

    Raises:
        ConfigError: `n`, or a stop or forbidden symbol, is out of range, or has no meaning for note sets.
        ShapeError: the prompt does not fit the model's vocabulary.
    """
    prompted = _Prompted(stepper, config, prompt, stop, tuple(forbid))
    check_number("n", n, at_least=1)
    total = n * prompted.step.log_probs.shape[0]

    def groups() -> Iterator[Sample]:
        for begin in range(0, total, ROWS_AT_ONCE):
            group = [number // n for number in range(begin, min(begin + ROWS_AT_ONCE, total))]
            yield from _collect(prompted.draw(group, first_number + begin), first_number + begin, len(group))

    return groups()


def draw(
    stepper: Stepper,
    config: SamplingConfig,
    n: int = 1,
    *,
    prompt: Sequence[int] | Tensor = (),
    stop: int | None = None,
    forbid: Sequence[int] = (),
    first_number: int = 0,
) -> Iterator[Drawn]:
    """Draw like `sample`, all samples together, and hand out each step's symbols as they are drawn.

    Arguments and errors are those of `sample`.
    """
    prompted = _Prompted(stepper, config, prompt, stop, tuple(forbid))
    return prompted.draw(_sources(prompted, n), first_number)


def _sources(prompted: _Prompted, n: int) -> list[int]:
    check_number("n", n, at_least=1)
    return [source for source in range(prompted.step.log_probs.shape[0]) for _ in range(n)]


def _collect(steps: Iterator[Drawn], first_number: int, count: int) -> Iterator[Sample]:
    """The finished samples of one group, in the order of their numbers."""
    symbols: list[list[Tensor]] = [[] for _ in range(count)]
    log_probs: list[list[float]] = [[] for _ in range(count)]
    stopped = [False] * count
    for drawn in steps:
        values, ends = drawn.log_probs.tolist(), drawn.stopped.tolist()
        for row, number in enumerate(drawn.numbers):
            symbols[number - first_number].append(drawn.symbols[row])
            log_probs[number - first_number].append(values[row])
            stopped[number - first_number] = ends[row]
    for ids, values, end in zip(symbols, log_probs, stopped, strict=True):
        yield Sample(torch.stack(ids), math.fsum(values), end)


class _Prompted:
    """A stepper that has read its prompt, with the settings to draw from it."""

    @torch.no_grad()
    def __init__(
        self,
        stepper: Stepper,
        config: SamplingConfig,
        prompt: Sequence[int] | Tensor,
        stop: int | None,
        forbid: tuple[int, ...],
    ) -> None:
        self.stepper, self.config = stepper, config
        self.step = stepper.start()
        rows = self.step.log_probs.shape[0]
        self.drawing = drawing_of(self.step, config, stop, forbid)
        for symbol in self.drawing.prompt(prompt):
            repeated = symbol.expand(rows, *symbol.shape).to(self.step.log_probs.device)
            self.step = stepper.step(repeated, self.step.state)

    @torch.no_grad()
    def draw(self, sources: list[int], first_number: int) -> Iterator[Drawn]:
        """Draw one sample per entry of `sources`, which names the stepper's row it comes from."""
        numbers = [first_number + index for index in range(len(sources))]
        uniforms = [_uniforms(self.config.seed, number, self.drawing.width) for number in numbers]
        step = self._select(self.step, sources)
        for position in range(self.config.max_length):
            random = torch.from_numpy(np.stack([next(uniform) for uniform in uniforms]))  # [R, V or 1]
            log_probs = step.log_probs.to("cpu", torch.float64)  # [R, V]
            check_log_probs(log_probs)
            symbols, of_symbols, stopped = self.drawing.draw(log_probs, random)
            yield Drawn(tuple(numbers), symbols, of_symbols, stopped)
            going = (~stopped).nonzero()[:, 0].tolist()
            if not going or position + 1 == self.config.max_length:
                return
            state = step.state
            if len(going) < len(numbers):
                numbers, uniforms = [numbers[row] for row in going], [uniforms[row] for row in going]
                symbols, state = symbols[going], self._rows(step, going)
            step = self.stepper.step(symbols.to(step.log_probs.device), state)

    def _rows(self, step: Step, rows: list[int]) -> Any:
        return self.stepper.select(step.state, torch.tensor(rows, device=step.log_probs.device))

    def _select(self, step: Step, rows: list[int]) -> Step:
        return replace(step, log_probs=step.log_probs[rows], state=self._rows(step, rows), attention=None)


def _uniforms(seed: int | None, number: int, width: int) -> Iterator[np.ndarray]:
    """Rows of `width` uniform numbers in [0, 1), float64, of sample `number`.

    NumPy's generator, because torch's CPU generator keeps only 32 bits of its seed, too few for a hash of
    (seed, number) to stay distinct over many samples.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number,))))
    while True:
        yield from generator.random((NUMBERS_AT_ONCE, width))
