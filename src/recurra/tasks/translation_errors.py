"""Where translators fail: errors of model and of search by beam size, and score by source length.

S sources.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from recurra.data.held_out import drawn
from recurra.data.pair_split import Pairs
from recurra.data.pair_vocabularies import decode_line, encode_line
from recurra.decode.config import BeamConfig
from recurra.decode.scores import length_penalty
from recurra.decode.target_scores import score_targets
from recurra.errors import ConfigError
from recurra.inspection.score_by_length import ScoreByLength, length_ranges
from recurra.inspection.search_errors import Comparison, SearchErrors
from recurra.metrics.score import Score
from recurra.settings import check_number
from recurra.tasks.translation_scores import score_texts
from recurra.tasks.translation_search import SOURCES_AT_ONCE, Ids, bind, outputs_of, search

if TYPE_CHECKING:
    from recurra.tasks.run import Run


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A source and its references.

    Attributes:
        text: of the source.
        ids: of the source, `[Tx]`.
        references: their text.
    """

    text: str
    ids: Ids
    references: Sequence[str]


def sentences_of(pairs: Pairs, most: int | None = None) -> list[Sentence]:
    """At most so many unique sources of a split, drawn at random; empty ones are left out.

    Args:
        pairs: a split.
        most: how many; None for all. Equal splits give equal sentences.

    Raises:
        ConfigError: `most` is below 1, or there is none.
    """
    check_number("sentences", most, int | None, at_least=1)
    sentences = [
        Sentence(text, pairs.sources[index], references)
        for index, (text, references) in enumerate(zip(pairs.source_text, pairs.references, strict=True))
        if text.strip()
    ]
    if not sentences:
        raise ConfigError("sentences: expected at least one source that is not empty, got none.")
    return [sentences[index] for index in drawn(len(sentences), most)]


def search_errors(
    run: Run, sentences: Sequence[Sentence], beam_sizes: Sequence[int], beam: BeamConfig
) -> list[SearchErrors]:
    """Compare a run's outputs with their references, by the score that the search ranks by.

    Args:
        run: a translator.
        sentences: with references.
        beam_sizes: how wide to search.
        beam: how to search else; without a coverage penalty, which a given target has no share of.

    Raises:
        ConfigError: there is a coverage penalty, or a beam size is out of range.
    """
    if beam.coverage_penalty:
        raise ConfigError("coverage_penalty: expected 0, as references are scored without it.")
    references = reference_scores(run, sentences, beam)
    return [
        _errors_of(run, sentences, references, dataclasses.replace(beam, beam_size=size, n_best=1))
        for size in beam_sizes
    ]


def _errors_of(
    run: Run,
    sentences: Sequence[Sentence],
    references: Sequence[tuple[float, str]],
    beam: BeamConfig,
) -> SearchErrors:
    comparisons: dict[int, Comparison] = {}
    target = run.vocabularies["target"]
    for index, hypotheses in search(run.model, [one.ids for one in sentences], beam, target.eos_id or 0):
        sentence, (reference_score, reference) = sentences[index], references[index]
        output = decode_line(target, hypotheses[0].ids.numpy())
        comparisons[index] = Comparison(
            sentence.text,
            output,
            reference,
            hypotheses[0].score,
            reference_score,
            output in sentence.references,
        )
    ordered = [comparisons[index] for index in range(len(sentences))]
    metric = run.config.metrics[0]
    scores = score_texts(run.config, [one.output for one in ordered], [one.references for one in sentences])
    return SearchErrors(beam.beam_size, ordered, metric, scores[metric].value)


def reference_scores(run: Run, sentences: Sequence[Sentence], beam: BeamConfig) -> list[tuple[float, str]]:
    """For each sentence the highest score among its references, and that reference."""
    rows = [(index, text) for index, one in enumerate(sentences) for text in one.references]
    targets = [torch.from_numpy(encode_line(run.vocabularies["target"], text)[0]) for _, text in rows]
    order = sorted(range(len(rows)), key=lambda row: (len(sentences[rows[row][0]].ids), len(targets[row])))
    scores: dict[int, list[tuple[float, str]]] = {}
    for begin in range(0, len(order), SOURCES_AT_ONCE):
        here = order[begin : begin + SOURCES_AT_ONCE]
        stepper, _ = bind(run.model, [sentences[rows[row][0]].ids for row in here])
        log_probs = torch.tensor(
            score_targets(stepper, [targets[row] for row in here]), dtype=torch.float64, device="cpu"
        )
        lengths = torch.tensor([len(targets[row]) for row in here], device="cpu")
        normalised = log_probs / length_penalty(lengths, beam.length_penalty, beam.penalty)
        for row, score in zip(here, normalised.tolist(), strict=True):
            scores.setdefault(rows[row][0], []).append((score, rows[row][1]))
    return [max(scores[index]) for index in range(len(sentences))]


def score_by_length(
    runs: dict[str, Run], sentences: Sequence[Sequence[Sentence]], beam: BeamConfig, ranges: int
) -> ScoreByLength:
    """Score some runs' outputs by the length of the source, by the first run's first metric.

    Args:
        runs: by label.
        sentences: for each run the same ones, in its own ids.
        beam: how to search.
        ranges: of length, the most.

    Raises:
        ConfigError: the runs have different sentences, or `ranges` is below 1.
    """
    first = next(iter(runs.values()))
    texts = [(one.text, one.references) for one in sentences[0]]
    for label, of_run in zip(runs, sentences, strict=True):
        if [(one.text, one.references) for one in of_run] != texts:
            raise ConfigError(
                f"{label}: has other test pairs than {next(iter(runs))}; give the same ones to all, "
                "by --data.test FILE.tsv or both parallel files."
            )
    characters = first.vocabularies["source"].kind == "characters"
    lengths = [len(one.text) if characters else len(one.text.split()) for one in sentences[0]]
    metric = first.config.metrics[0]
    bounds = length_ranges(lengths, ranges)
    members = [[i for i, length in enumerate(lengths) if low <= length <= high] for low, high in bounds]
    figures: dict[str, list[Score]] = {}
    for (label, run), of_run in zip(runs.items(), sentences, strict=True):
        ids = [one.ids for one in of_run]
        outputs = outputs_of(run.model, run.vocabularies, ids, [one.text for one in of_run], beam)
        figures[label] = [
            score_texts(first.config, [outputs[i] for i in here], [texts[i][1] for i in here])[metric]
            for here in members
        ]
    return ScoreByLength(
        metric,
        next(iter(figures.values()))[0].higher_is_better,
        "characters" if characters else "words",
        bounds,
        [len(here) for here in members],
        [sum(lengths[i] for i in here) / len(here) for here in members],
        {label: [score.value for score in scores] for label, scores in figures.items()},
    )
