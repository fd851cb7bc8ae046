"""What looking inside a translator needs of its runs: attention and searches as plain values.

T target length, Tx source length.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.data.vocabulary import Vocabulary
from recurra.decode import BeamConfig, Hypothesis, Trace, beam_search
from recurra.errors import ConfigError
from recurra.inspection.attention_picture import Alignment
from recurra.inspection.beam_picture import BeamTree, Node
from recurra.tasks.translation_run import TranslationRun, bind

Ids = NDArray[np.int64]


def align(
    run: TranslationRun, source: str, target: str | None = None, beam: BeamConfig | None = None
) -> Alignment:
    """The attention with which a run translates a line, or would write a given target.

    Args:
        run: a translator with attention.
        source: a line.
        target: a line; None for the best one that a beam search finds.
        beam: how to search; None for the defaults of `BeamConfig`.

    Raises:
        ConfigError: a line is empty, or the model has no attention.
    """
    ids = _encode(run, source)
    if target is None:
        symbols = search_one(run, ids, beam or BeamConfig())[0].ids
    elif target.strip():
        symbols = torch.from_numpy(run.vocabularies.encode_target(target)[0])
    else:
        raise ConfigError("target: expected some text, got none.")
    stepper, _ = bind([run.model], [ids])
    step, weights, log_prob = stepper.start(), [], 0.0
    for position, symbol in enumerate(symbols.tolist()):
        if step.attention is None:
            raise ConfigError(
                f"{run.path}: this model has no attention to show; train one with --model.attention luong."
            )
        weights.append(step.attention[0].cpu())
        log_prob += float(step.log_probs[0, symbol])
        if position + 1 < len(symbols):
            step = stepper.step(symbols[position : position + 1].to(run.device), step.state)
    vocabularies = run.vocabularies
    return Alignment(
        labels(vocabularies.source, source, ids),
        labels(vocabularies.target, target or vocabularies.decode_target(symbols.numpy()), symbols.numpy()),
        torch.stack(weights).double().numpy(),
        frozenset(np.flatnonzero(ids == vocabularies.source.unknown).tolist()),
        f"{run.path.name}: log P {log_prob:.2f}".replace("-", "\u2212"),
    )


def grow(run: TranslationRun, source: str, beam: BeamConfig) -> tuple[BeamTree, list[Hypothesis]]:
    """What a beam search for a line looks at, and what it finds, best first.

    Raises:
        ConfigError: the line is empty.
    """
    ids, trace = _encode(run, source), Trace()
    found = search_one(run, ids, beam, trace)
    symbols = run.vocabularies.target.symbols
    nodes = [
        Node(each.length, each.parent, symbols[each.symbol], each.log_prob, each.score, each.fate)
        for each in trace.extensions
    ]
    return BeamTree(nodes, beam.beam_size, f"{run.path.name}, beam size {beam.beam_size}: {source}"), found


def search_one(
    run: TranslationRun, source: Ids, beam: BeamConfig, trace: Trace | None = None
) -> list[Hypothesis]:
    """What a beam search finds for one source, ids `[Tx]`, best first."""
    stepper, lengths = bind([run.model], [source])
    stop = run.vocabularies.target.line_end or 0
    limits = beam.limits(lengths)
    return beam_search(stepper, beam, stop=stop, max_lengths=limits, source_lengths=lengths, trace=trace)[0]


def labels(vocabulary: Vocabulary, line: str, ids: Ids) -> list[str]:
    """A label for each of a line's symbols `[T]`, EOS last: words and characters as they stand in the line.

    So a symbol that the vocabulary does not know is still shown as what it is; of subwords it is `<unk>`.
    """
    known = [vocabulary.symbols[index] for index in ids]
    line = line.strip()
    written = {"words": line.split(), "characters": list(line)}.get(vocabulary.kind, [])
    return [*written[: len(known) - 1], known[-1]] if written else known


def _encode(run: TranslationRun, source: str) -> Ids:
    """The ids of a line `[Tx]`; that it was cut is said on stderr."""
    if not source.strip():
        raise ConfigError("source: expected some text, got none.")
    ids, truncated = run.vocabularies.encode_source(source, run.settings.data.max_length)
    if truncated:
        print(f"recurra: the source was cut to data.max_length, {len(ids)} symbols.", file=sys.stderr)
    return ids
