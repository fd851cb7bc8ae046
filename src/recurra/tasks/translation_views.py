"""What a translator alone can show: attention, beams, errors by beam size, and scores by source length."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from recurra.data.pair_vocabularies import decode_line
from recurra.decode.config import BeamConfig
from recurra.errors import ConfigError
from recurra.inspection.attention_picture import show_attention
from recurra.inspection.beam_picture import show_beam
from recurra.inspection.score_by_length_picture import show_score_by_length
from recurra.inspection.search_errors import Kind, SearchErrors
from recurra.inspection.search_errors_picture import show_search_errors
from recurra.inspection.shown import Shown
from recurra.tasks.task import View
from recurra.tasks.translation_errors import Sentence, score_by_length, search_errors, sentences_of
from recurra.tasks.translation_options import (
    AttentionOptions,
    BeamOptions,
    ErrorOptions,
    LengthOptions,
    PairFiles,
)
from recurra.tasks.translation_traces import attention_of, trace_beam_search

if TYPE_CHECKING:
    from recurra.tasks.run import Run

KINDS_OF_ERROR: tuple[Kind, ...] = ("model", "search")


def attention(run: Run, options: AttentionOptions) -> Shown:
    """What each symbol of a translation is predicted from."""
    return show_attention(attention_of(run, _source(options.source), options.target, options))


def beam(run: Run, options: BeamOptions) -> Shown:
    """A search as a tree, and a table of what it found."""
    config = replace(_beam_of(options), n_best=options.beam_size)
    tree, hypotheses = trace_beam_search(run, _source(options.source), config)
    target = run.vocabularies["target"]
    rows = [
        (
            number,
            one.score,
            one.log_prob,
            len(one.ids),
            decode_line(target, one.ids.numpy()) + ("" if one.finished else " (unfinished)"),
        )
        for number, one in enumerate(hypotheses, start=1)
    ]
    table = (("place", "score", "log P", "symbols", "output"), rows)
    return replace(show_beam(tree, options.pruned), tables=(), printed=[table])


def errors(run: Run, options: ErrorOptions) -> Shown:
    """Errors of the model and of the search by beam size, with examples."""
    sizes = sorted(set(options.beam_sizes))
    if not sizes or sizes[0] < 1:
        raise ConfigError(
            f"beam_sizes: expected whole numbers above 0, got {' '.join(map(str, options.beam_sizes))}."
        )
    results = search_errors(run, _sentences(run, options), sizes, _beam_of(options))
    rows = [
        (one.beam_size, *(_with_share(one, kind) for kind in ("equal", "model", "search")), one.score)
        for one in results
    ]
    table = (("beam size", "equal", "model errors", "search errors", results[0].metric), rows)
    return replace(
        show_search_errors(results, run.path.name, options.examples),
        tables=(),
        printed=[table],
        text=_examples(results, options.examples),
        records=[one.as_dict(options.examples) for one in results],
        name="search_errors",
    )


def lengths(run: Run, options: LengthOptions, others: Sequence[Run] = ()) -> Shown:
    """The score of one or more runs by the length of the source."""
    runs = [run, *others]
    names = options.labels or [one.path.resolve().name for one in runs]
    if len(names) != len(runs) or len(set(names)) != len(names):
        raise ConfigError(
            f"labels: expected {len(runs)} different ones, one for each run, got {', '.join(names)}."
        )
    sentences = [_sentences(one, options) for one in runs]
    scores = score_by_length(
        dict(zip(names, runs, strict=True)), sentences, _beam_of(options), options.ranges
    )
    shown = show_score_by_length(scores)
    return replace(shown, tables=(), printed=shown.tables, text=shown.notes[0], notes=())


VIEWS: dict[str, View] = {
    "attention": View(
        "Draw the attention with which a source is translated, or a given target would be, as Bahdanau, Cho & "
        "Bengio 2015 do in figure 3: a picture (PNG), and beside it a page (HTML) that shows any script.",
        '--source "TEXT" [--target "TEXT"] [options]',
        AttentionOptions,
        attention,
    ),
    "beam": View(
        "Draw the beam search for a source: a column per step, the hypotheses that lived, those that ended, and "
        "the best that were pruned. Prints what was found, best first.",
        '--source "TEXT" [--beam-size K] [options]',
        BeamOptions,
        beam,
    ),
    "errors": View(
        "For each output that differs from its references: does the model score a reference higher, so that the "
        "search missed it, or its own output? Counted by beam size over the test pairs, or else the validation "
        "pairs.",
        "[--beam-sizes K ...] [options]",
        ErrorOptions,
        errors,
    ),
    "lengths": View(
        "Score the outputs of one or more runs by the length of the source, with and without attention for "
        "example, as Bahdanau, Cho & Bengio 2015 do in figure 2: over the test pairs, or else the validation pairs, "
        "by the first run's first metric.",
        "[--labels NAME ...] [options]",
        LengthOptions,
        lengths,
        several=True,
    ),
}


def _source(text: str | None) -> str:
    if text is None:
        raise ConfigError("--source: expected a text to translate, got none; add --source TEXT.")
    return text


def _beam_of(options: BeamConfig) -> BeamConfig:
    """The fields of a search in options that have more."""
    return BeamConfig(
        **{field.name: getattr(options, field.name) for field in dataclasses.fields(BeamConfig)}
    )


def _sentences(run: Run, options: PairFiles) -> list[Sentence]:
    return sentences_of(run.split(options.files), options.sentences)


def _examples(results: Sequence[SearchErrors], examples: int) -> str:
    """Outputs of each kind of error, of the widest beam that has any."""
    lines: list[str] = []
    for kind in KINDS_OF_ERROR:
        for one in [one for one in results if one.count(kind)][-1:]:
            for example in one.examples(kind, examples):
                lines += [
                    f"\n{kind} error, beam size {one.beam_size}",
                    f"{'source':>19}  {example.source}",
                    f"{example.output_score:8.4f}  {'output':>9}  {example.output}",
                    f"{example.reference_score:8.4f}  reference  {example.reference}",
                ]
    return "\n".join(lines)


def _with_share(errors: SearchErrors, kind: Kind) -> str:
    count = errors.count(kind)
    return f"{count:,} ({100 * count / len(errors.comparisons):.1f} %)"
