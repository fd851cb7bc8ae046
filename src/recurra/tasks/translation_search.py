"""Searching for translations: models bound to sources, and what a beam search or greedy decoding finds for them.

S sources, Tx source length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recurra.contracts import Batch, Stepper
from recurra.data.batches import pad_sequences
from recurra.data.pair_vocabularies import decode_line
from recurra.data.vocabularies import Vocabularies
from recurra.decode.beam import beam_search
from recurra.decode.config import BeamConfig
from recurra.decode.greedy_search import greedy
from recurra.decode.hypotheses import Hypothesis

SOURCES_AT_ONCE = 128
"""How many sources are translated together; it changes speed and memory, not results."""

Ids = NDArray[np.int64]
Model = nn.Module
"""An encoder–decoder, or an ensemble of several: with `stepper(batch)`."""


def bind(model: Model, sources: Sequence[Ids]) -> tuple[Stepper, list[int]]:
    """A model bound to sources of ids `[Tx]` each, EOS last, and their lengths."""
    ids, lengths = pad_sequences(sources)
    device = next(model.parameters()).device
    stepper: Any = model.stepper(Batch(ids, lengths=lengths).to(device))  # type: ignore[operator]
    return stepper, lengths.tolist()


def search(
    model: Model, sources: Sequence[Ids], config: BeamConfig, stop: int, greedily: bool = False
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """The hypotheses for each source, in order of their lengths.

    Args:
        model: an encoder–decoder or an ensemble.
        sources: ids `[Tx]` each, EOS last.
        config: of the search; greedy decoding reads its limits of length and `no_repeat_ngram` only.
        stop: the id of EOS.
        greedily: take the most probable symbol at each step instead.

    Returns:
        The source's number and its hypotheses, best first, as they are found.
    """
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for begin in range(0, len(order), SOURCES_AT_ONCE):
        numbers = order[begin : begin + SOURCES_AT_ONCE]
        stepper, lengths = bind(model, [sources[number] for number in numbers])
        most = config.limits(lengths)
        if greedily:
            best = greedy(
                stepper,
                stop=stop,
                max_lengths=most,
                min_length=config.min_length,
                no_repeat_ngram=config.no_repeat_ngram,
            )
            hypotheses = [[one] for one in best]
        else:
            hypotheses = beam_search(stepper, config, stop=stop, max_lengths=most, source_lengths=lengths)
        yield from zip(numbers, hypotheses, strict=True)


def search_lines(
    model: Model,
    vocabularies: Vocabularies,
    sources: Sequence[Ids],
    lines: Sequence[str],
    config: BeamConfig,
    greedily: bool = False,
) -> dict[int, list[Hypothesis]]:
    """The hypotheses for each line that is not empty, by its number; arguments as of `search`."""
    full = [number for number, line in enumerate(lines) if line.strip()]
    stop = vocabularies["target"].eos_id or 0
    hypotheses = search(model, [sources[number] for number in full], config, stop, greedily)
    return {full[index]: of_line for index, of_line in hypotheses}


def outputs_of(
    model: Model,
    vocabularies: Vocabularies,
    sources: Sequence[Ids],
    lines: Sequence[str],
    config: BeamConfig,
    greedily: bool = False,
) -> list[str]:
    """The text of the best output for each source, arguments as of `search`; an empty source gives an empty one."""
    outputs = [""] * len(lines)
    for number, hypotheses in search_lines(model, vocabularies, sources, lines, config, greedily).items():
        outputs[number] = decode_line(vocabularies["target"], hypotheses[0].ids.numpy())
    return outputs
