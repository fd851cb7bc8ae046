"""Sampling: symbols drawn one after the other from what a model says, over the Stepper protocol.

A sample starts from the stepper's state before the first symbol, reads the prompt, then draws until the
stop symbol or the limit. Sample number k draws from its own generator, keyed by (seed, k), one uniform
number per symbol (one per key for note sets), so neither its neighbours nor `max_length` change it.

S sources (the rows a stepper is bound to), R rows being drawn, V vocabulary (or keys), P prompt length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.contracts import Step, Stepper
from recurra.decode.checks import check_log_probs, check_symbols
from recurra.decode.symbols import first_largest
from recurra.errors import ConfigError, ShapeError

ROWS_AT_ONCE = 64
"""How many samples go through the model together; it bounds memory and changes no sample."""

NUMBERS_AT_ONCE = 64
"""How many steps' uniform numbers a generator hands out at once; fixed, so that the limit changes nothing."""


@dataclass(frozen=True)
class SamplingConfig:
    """How symbols are drawn.

    The model's logits are divided by `temperature` first; `top_k` then keeps the k most probable symbols,
    and `top_p` of those the smallest set whose probability reaches p. Ties go to the lower id throughout.

    Attributes:
        max_length: the most symbols drawn, the stop symbol included; at least 1.
        temperature: 1 draws from the model's own distribution; 0 always takes the most probable symbol.
        top_k: draw only from the k most probable symbols; at least 1, or None for all.
        top_p: draw only from the most probable symbols that together hold this probability, in (0, 1];
            nucleus sampling (Holtzman et al. 2020). None for all.
        seed: at least 0; the same seed gives the same samples. None draws a fresh one.

    Raises:
        ConfigError: a value is out of range.
    """

    max_length: int = 200
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_length < 1:
            raise ConfigError(f"max_length: expected at least 1 symbol, got {self.max_length}.")
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"temperature: expected a number of at least 0, got {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k: expected at least 1 symbol, or none for all, got {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p: expected a probability above 0 and up to 1, got {self.top_p}.")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"seed: expected at least 0, got {self.seed}.")


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
    """The symbols of one step, for the samples that are still going.

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
    note_sets: bool = False,
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
        note_sets: the stepper's log-probabilities are per key; each key is drawn by itself.
        first_number: the number of the first sample, for going on where an earlier call ended.

    Returns:
        The samples in the order of their numbers: source 0's n, then source 1's, and so on. They are
        drawn as they are asked for, `ROWS_AT_ONCE` together.

    Raises:
        ConfigError: `n`, or a stop or forbidden symbol, is out of range, or has no meaning for note sets.
        ShapeError: the prompt does not fit the model's vocabulary.
    """
    prompted = _Prompted(stepper, config, prompt, stop, tuple(forbid), note_sets)
    sources = _sources(prompted, n)

    def groups() -> Iterator[Sample]:
        for begin in range(0, len(sources), ROWS_AT_ONCE):
            group = sources[begin : begin + ROWS_AT_ONCE]
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
    note_sets: bool = False,
    first_number: int = 0,
) -> Iterator[Drawn]:
    """Draw like `sample`, all samples together, and hand out each step's symbols as they are drawn.

    Arguments and errors are those of `sample`.
    """
    prompted = _Prompted(stepper, config, prompt, stop, tuple(forbid), note_sets)
    return prompted.draw(_sources(prompted, n), first_number)


def _sources(prompted: _Prompted, n: int) -> list[int]:
    if n < 1:
        raise ConfigError(f"n: expected at least 1 sample, got {n}.")
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
        note_sets: bool,
    ) -> None:
        self.stepper, self.config, self.stop, self.note_sets = stepper, config, stop, note_sets
        self.step = stepper.start()
        size = self.step.log_probs.shape[-1]
        _check(config, size, stop, forbid, note_sets)
        self.forbidden = torch.tensor(sorted(set(forbid)), dtype=torch.int64, device="cpu")
        rows = self.step.log_probs.shape[0]
        for symbol in _prompt_ids(prompt, size, note_sets):
            repeated = symbol.expand(rows, *symbol.shape).to(self.step.log_probs.device)
            self.step = stepper.step(repeated, self.step.state)

    @torch.no_grad()
    def draw(self, sources: list[int], first_number: int) -> Iterator[Drawn]:
        """Draw one sample per entry of `sources`, which names the stepper's row it comes from."""
        numbers = [first_number + index for index in range(len(sources))]
        size = self.step.log_probs.shape[-1]
        uniforms = [_uniforms(self.config.seed, number, size if self.note_sets else 1) for number in numbers]
        step = self._select(self.step, sources)
        for position in range(self.config.max_length):
            random = torch.from_numpy(np.stack([next(uniform) for uniform in uniforms]))  # [R, V or 1]
            log_probs = step.log_probs.to("cpu", torch.float64)  # [R, V]
            check_log_probs(log_probs)
            if self.note_sets:
                symbols, own = _draw_notes(log_probs, random, self.config.temperature, self.forbidden)
                stopped = torch.zeros(len(numbers), dtype=torch.bool, device="cpu")
            else:
                symbols, own = _draw_ids(log_probs, random[:, 0], self.config, self.forbidden)
                stopped = symbols == (-1 if self.stop is None else self.stop)
            yield Drawn(tuple(numbers), symbols, own, stopped)
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
        return Step(step.log_probs[rows], self._rows(step, rows))


def _check(
    config: SamplingConfig, size: int, stop: int | None, forbid: tuple[int, ...], note_sets: bool
) -> None:
    """Raise a ConfigError for symbols outside 0 .. size - 1 and for settings without meaning."""
    check_symbols("stop", () if stop is None else (stop,), size)
    check_symbols("forbid", forbid, size)
    if note_sets:
        given = {"top_k": config.top_k, "top_p": config.top_p, "stop": stop}
        for name, value in given.items():
            if value is not None:
                raise ConfigError(
                    f"{name}: has no meaning for note sets, whose keys are drawn one by one; leave it out."
                )
    elif len(set(forbid)) == size:
        raise ConfigError(f"forbid: all {size} symbols are forbidden; leave at least one.")


def _prompt_ids(prompt: Sequence[int] | Tensor, size: int, note_sets: bool) -> Tensor:
    """The prompt as ids `[P]` or note sets `[P, V]`, checked."""
    ids = prompt if isinstance(prompt, Tensor) else torch.tensor(prompt, device="cpu")
    if ids.numel() == 0:
        return torch.zeros((0, size) if note_sets else (0,), dtype=torch.int64, device="cpu")
    if note_sets:
        if ids.ndim != 2 or ids.shape[1] != size or not bool(((ids == 0) | (ids == 1)).all()):
            raise ShapeError(f"prompt: expected note sets [P, {size}] of 0 and 1, got {tuple(ids.shape)}.")
    elif ids.ndim != 1 or ids.is_floating_point() or int(ids.min()) < 0 or int(ids.max()) >= size:
        got = ids.tolist() if ids.ndim == 1 and len(ids) <= 8 else f"shape {tuple(ids.shape)}"
        raise ShapeError(f"prompt: expected ids [P] from 0 to {size - 1}, got {got}.")
    return ids.to(torch.int64)


def _uniforms(seed: int | None, number: int, width: int) -> Iterator[np.ndarray]:
    """Rows of `width` uniform numbers in [0, 1), float64, of sample `number`.

    NumPy's generator, because torch's CPU generator keeps only 32 bits of its seed, too few for a hash of
    (seed, number) to stay distinct over many samples.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(number,))))
    while True:
        yield from generator.random((NUMBERS_AT_ONCE, width))


def _draw_ids(
    log_probs: Tensor, random: Tensor, config: SamplingConfig, forbidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Ids `[R]` drawn by inverting the distribution function, and their own log-probabilities `[R]`."""
    allowed = log_probs.index_fill(1, forbidden, -math.inf)  # [R, V]
    if bool((allowed.amax(1) == -math.inf).any()):
        raise ConfigError("forbid: no symbol that is left has any probability; forbid fewer.")
    if config.temperature == 0:
        ids = first_largest(allowed)
    else:
        cumulative = _probabilities(allowed, config).cumsum(1)  # [R, V]
        total = cumulative[:, -1:].contiguous()
        ids = torch.searchsorted(cumulative, random[:, None] * total, right=True)
        # Rounding may carry random * total up to total: the last symbol of positive probability is meant.
        ids = torch.minimum(ids, torch.searchsorted(cumulative, total))[:, 0]
    return ids, log_probs.gather(1, ids[:, None])[:, 0]


def _probabilities(log_probs: Tensor, config: SamplingConfig) -> Tensor:
    """The distribution `[R, V]` to draw from: temperature, then top-k, then top-p; float64."""
    # The largest is subtracted before dividing: a small temperature then overflows towards -inf only.
    scaled = (log_probs - log_probs.amax(1, keepdim=True)) / config.temperature
    if config.top_k is None and config.top_p is None:
        return scaled.softmax(1)
    ordered, ids = scaled.sort(stable=True, dim=1, descending=True)
    if config.top_k is not None:
        ordered[:, config.top_k :] = -math.inf
    probabilities = ordered.softmax(1)
    if config.top_p is not None:
        before = torch.nn.functional.pad(probabilities.cumsum(1)[:, :-1], (1, 0))  # held by those before it
        probabilities = probabilities.where(before < config.top_p, 0.0)
    return torch.zeros_like(probabilities).scatter(1, ids, probabilities)


def _draw_notes(
    log_probs: Tensor, random: Tensor, temperature: float, forbidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Note sets `[R, V]`, each key by itself, and their own log-probabilities `[R]`, summed over the keys.

    At temperature 0 a key is on where that is more probable than off; a tie leaves it off.
    """
    off = torch.log(-torch.expm1(log_probs))  # [R, V], log(1 - p)
    logits = log_probs - off
    if temperature == 0:
        on = logits > 0
    else:
        on = random < (logits / temperature).sigmoid()
    on = on.index_fill(1, forbidden, False)
    return on.to(torch.int64), torch.where(on, log_probs, off).sum(1)
