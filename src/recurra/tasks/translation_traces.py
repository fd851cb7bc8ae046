"""What a translator attends to and searches through for one line, as plain values to be drawn.

T target length, Tx source length.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import torch

from recurra.cells import CELLS
from recurra.data.pair_vocabularies import decode_line, encode_line
from recurra.data.vocabularies import Vocabularies
from recurra.data.vocabulary import Vocabulary
from recurra.decode.beam import beam_search
from recurra.decode.config import BeamConfig
from recurra.decode.hypotheses import Hypothesis
from recurra.decode.trace import Trace
from recurra.errors import ConfigError
from recurra.inspection.alignment import Alignment
from recurra.inspection.beam_tree import BeamTree, Node
from recurra.tasks.translation_search import Ids, bind

if TYPE_CHECKING:
    from recurra.tasks.run import Run


def attention_of(
    run: Run, source: str, target: str | None = None, beam: BeamConfig | None = None
) -> Alignment:
    """The attention with which a run translates a line, or with which it reads a given target.

    Args:
        run: a translator with attention.
        source: a line.
        target: a line; None for the best one that a beam search finds.
        beam: how to search; None for the defaults of `BeamConfig`.

    Raises:
        ConfigError: a line is empty, or the model has no attention.
    """
    vocabularies = run.vocabularies
    ids = encode_source(vocabularies, source, run.config.data.max_length)
    if target is None:
        symbols = search_one(run, ids, beam or BeamConfig())[0].ids
    elif target.strip():
        symbols = torch.from_numpy(encode_line(vocabularies["target"], target)[0])
    else:
        raise ConfigError("target: expected some text, got none.")
    stepper, _ = bind(run.model, [ids])
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
    model = run.config.model
    cell = CELLS[model.cell].__name__ if model.cell in CELLS else model.cell
    text = target or decode_line(vocabularies["target"], symbols.numpy())
    return Alignment(
        labels(vocabularies["source"], source, ids),
        labels(vocabularies["target"], text, symbols.numpy()),
        torch.stack(weights).double().numpy(),
        frozenset(np.flatnonzero(ids == vocabularies["source"].unk_id).tolist()),
        f"Attention of {run.path.name}: log P {log_prob:.2f}".replace("-", "\u2212"),
        f"{cell}, {model.hidden_size:,} units, {model.attention} attention",
    )


def trace_beam_search(run: Run, source: str, beam: BeamConfig) -> tuple[BeamTree, list[Hypothesis]]:
    """What a beam search for a line looks at, and what it finds, best first.

    Raises:
        ConfigError: the line is empty.
    """
    ids, trace = encode_source(run.vocabularies, source, run.config.data.max_length), Trace()
    hypotheses = search_one(run, ids, beam, trace)
    symbols = run.vocabularies["target"].symbols
    nodes = [
        Node(each.length, each.parent, symbols[each.symbol], each.log_prob, each.score, each.fate)
        for each in trace.extensions
    ]
    title = f"{run.path.name}, beam size {beam.beam_size}: {source}"
    return BeamTree(nodes, beam.beam_size, title), hypotheses


def search_one(run: Run, source: Ids, beam: BeamConfig, trace: Trace | None = None) -> list[Hypothesis]:
    """What a beam search finds for one source, ids `[Tx]`, best first."""
    stepper, lengths = bind(run.model, [source])
    stop = run.vocabularies["target"].eos_id or 0
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


def encode_source(vocabularies: Vocabularies, source: str, max_length: int) -> Ids:
    """The ids of a line `[Tx]`; that it was cut is reported on stderr.

    Raises:
        ConfigError: the line is empty.
    """
    if not source.strip():
        raise ConfigError("source: expected some text, got none.")
    ids, truncated = encode_line(vocabularies["source"], source, max_length)
    if truncated:
        print(f"recurra: the source was cut to data.max_length, {len(ids)} symbols.", file=sys.stderr)
    return ids
