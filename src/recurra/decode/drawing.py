"""Drawing one symbol: an id from a distribution over V symbols, or each of V keys by itself.

R rows being drawn, V vocabulary (or keys), P prompt length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.contracts import Step
from recurra.decode.checks import check_symbols
from recurra.decode.config import SamplingConfig
from recurra.decode.symbols import first_largest
from recurra.errors import ConfigError, ShapeError


class CategoricalDrawing:
    """Ids, each one of V.

    Args:
        size: V.
        config: temperature and filters.
        stop: the id that ends a sample, or None.
        forbid: ids that are never drawn.

    Attributes:
        width: number of uniform numbers that a symbol takes: 1.

    Raises:
        ConfigError: an id is out of range, or all are forbidden.
    """

    width = 1

    def __init__(self, size: int, config: SamplingConfig, stop: int | None, forbid: Sequence[int]) -> None:
        check_symbols("stop", () if stop is None else (stop,), size)
        check_symbols("forbid", forbid, size)
        if len(set(forbid)) == size:
            raise ConfigError(f"forbid: all {size} symbols are forbidden; leave at least one.")
        self.size, self.config = size, config
        self.stop = -1 if stop is None else stop
        self.forbidden = torch.tensor(sorted(set(forbid)), dtype=torch.int64, device="cpu")

    def prompt(self, prompt: Sequence[int] | Tensor) -> Tensor:
        """The prompt as ids `[P]`, checked.

        Raises:
            ShapeError: it holds something else.
        """
        ids = prompt if isinstance(prompt, Tensor) else torch.tensor(prompt, device="cpu")
        if ids.numel() == 0:
            return torch.zeros((0,), dtype=torch.int64, device="cpu")
        if ids.ndim != 1 or ids.is_floating_point() or int(ids.min()) < 0 or int(ids.max()) >= self.size:
            got = ids.tolist() if ids.ndim == 1 and len(ids) <= 8 else f"shape {tuple(ids.shape)}"
            raise ShapeError(f"prompt: expected ids [P] from 0 to {self.size - 1}, got {got}.")
        return ids.to(torch.int64)

    def draw(self, log_probs: Tensor, random: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Ids `[R]`, their log-probabilities by the model `[R]`, and which of them end their sample `[R]`.

        Args:
            log_probs: `[R, V]`, float64.
            random: uniform in [0, 1), `[R, 1]`.
        """
        ids, of_ids = _draw_ids(log_probs, random[:, 0], self.config, self.forbidden)
        return ids, of_ids, ids == self.stop


class BernoulliDrawing:
    """Note sets, each of V keys on or off by itself.

    Args:
        size: V.
        config: the temperature; the filters must be None.
        stop: must be None.
        forbid: keys that are never on.

    Attributes:
        width: number of uniform numbers that a symbol takes: V.

    Raises:
        ConfigError: a key is out of range, or a setting has no meaning for keys that are drawn one by one.
    """

    def __init__(self, size: int, config: SamplingConfig, stop: int | None, forbid: Sequence[int]) -> None:
        check_symbols("forbid", forbid, size)
        for name, value in {"top_k": config.top_k, "top_p": config.top_p, "stop": stop}.items():
            if value is not None:
                raise ConfigError(
                    f"{name}: has no meaning for note sets, whose keys are drawn one by one; leave it out."
                )
        self.width, self.temperature = size, config.temperature
        self.forbidden = torch.tensor(sorted(set(forbid)), dtype=torch.int64, device="cpu")

    def prompt(self, prompt: Sequence[int] | Tensor) -> Tensor:
        """The prompt as note sets `[P, V]`, checked.

        Raises:
            ShapeError: it holds something else.
        """
        size = self.width
        sets = prompt if isinstance(prompt, Tensor) else torch.tensor(prompt, device="cpu")
        if sets.numel() == 0:
            return torch.zeros((0, size), dtype=torch.int64, device="cpu")
        if sets.ndim != 2 or sets.shape[1] != size or not bool(((sets == 0) | (sets == 1)).all()):
            raise ShapeError(f"prompt: expected note sets [P, {size}] of 0 and 1, got {tuple(sets.shape)}.")
        return sets.to(torch.int64)

    def draw(self, log_probs: Tensor, random: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Note sets `[R, V]`, their log-probabilities by the model `[R]`, and that none ends its sample `[R]`.

        Args:
            log_probs: of each key being on, `[R, V]`, float64.
            random: uniform in [0, 1), `[R, V]`.
        """
        sets, of_sets = _draw_notes(log_probs, random, self.temperature, self.forbidden)
        return sets, of_sets, torch.zeros(len(sets), dtype=torch.bool, device="cpu")


Drawing = CategoricalDrawing | BernoulliDrawing


def drawing_of(step: Step, config: SamplingConfig, stop: int | None, forbid: Sequence[int]) -> Drawing:
    """The drawing that fits the distribution of a model's steps.

    Raises:
        ConfigError: a symbol or setting does not fit them.
    """
    kind = BernoulliDrawing if step.distribution == "bernoulli" else CategoricalDrawing
    return kind(step.log_probs.shape[-1], config, stop, forbid)


def _draw_ids(
    log_probs: Tensor, random: Tensor, config: SamplingConfig, forbidden: Tensor
) -> tuple[Tensor, Tensor]:
    """Ids `[R]` drawn by inverting the distribution function, and their log-probabilities `[R]`."""
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
    """Note sets `[R, V]`, each key by itself, and their log-probabilities `[R]`, summed over the keys.

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
