"""TranslationRun: a trained translator in use. It translates, and evaluates what it makes.

S sources, T target length, Tx source length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recurra.contracts import PairBatch
from recurra.data.pair_batches import evaluation_pair_batches
from recurra.data.pair_split import Pairs
from recurra.data.pair_vocabularies import Vocabularies
from recurra.data.pairs import PairCorpus, load_pairs, load_test_pairs
from recurra.decode import BeamConfig, Ensemble, Hypothesis, beam_search, greedy
from recurra.errors import ConfigError, RunError
from recurra.metrics.by_name import Scored, score_outputs
from recurra.metrics.perplexity import Score
from recurra.models.translation_model import TranslationModel
from recurra.tasks.run import Run
from recurra.training.loop import Result
from recurra.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from recurra.tasks.translate import TranslateConfig

SOURCES_AT_ONCE = 64
"""How many sources are translated together; it changes speed and memory, not results."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Output:
    """One of the targets found for a source.

    Attributes:
        text: of the target.
        tokens: a printable label per symbol, EOS last where it is finished.
        log_prob: ln P of the target under the model, EOS included.
        score: what the search ranked it by.
        attention: `[T, Tx]`, what each symbol of it was predicted from; None without attention.
        finished: it ends with EOS; otherwise nothing of positive probability could end it.
    """

    text: str
    tokens: list[str]
    log_prob: float
    score: float
    attention: Tensor | None
    finished: bool


@dataclass(frozen=True)
class Translated:
    """A source and what was found for it.

    Attributes:
        source: its text.
        tokens: a printable label per symbol of the source, EOS last; empty for an empty source.
        outputs: best first; one empty output for an empty source.
        unknown: how many symbols of the source the vocabulary does not know.
        truncated: the source was longer than `data.max_length` and was cut.
    """

    source: str
    tokens: list[str]
    outputs: list[Output]
    unknown: int
    truncated: bool


@dataclass(frozen=True)
class Evaluation:
    """What `TranslationRun.evaluate` finds.

    Attributes:
        loss: over the pairs.
        scores: by metric, over the unique sources.
        outputs: the best output of each unique source.
    """

    loss: Score
    scores: dict[str, Scored]
    outputs: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The figures, and under `recipes` how each was computed."""
        figures = {name: score.score for name, score in self.scores.items()}
        recipes = {name: score.recipe for name, score in self.scores.items()}
        loss = {"loss": self.loss.nats, "perplexity": self.loss.perplexity, "tokens": self.loss.tokens}
        return {**loss, **figures, "recipes": recipes}


@torch.no_grad()
def mean_loss(model: TranslationModel, batches: Iterable[PairBatch]) -> Score:
    """The cost of every target symbol under the model in evaluation mode."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    total, tokens = 0.0, 0
    try:
        for batch in batches:
            loss, count = model.loss(batch.to(device))
            total += float(loss)
            tokens += count
    finally:
        model.train(training)
    return Score(total, tokens, None, "target symbols, and one <eos> per target")


def search(
    models: Sequence[TranslationModel], sources: Sequence[Ids], config: BeamConfig | None, stop: int
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """What is found for each source, in an order of its own, that of their lengths.

    Args:
        models: one, or several whose probabilities are averaged.
        sources: ids `[Tx]` each, EOS last.
        config: None for greedy decoding.
        stop: the id of EOS.

    Returns:
        The source's number and its hypotheses, best first, as they are found.
    """
    device = next(models[0].parameters()).device
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    limits = config or BeamConfig()
    for begin in range(0, len(order), SOURCES_AT_ONCE):
        numbers = order[begin : begin + SOURCES_AT_ONCE]
        lengths = [len(sources[number]) for number in numbers]
        ids = torch.zeros(len(numbers), max(lengths), dtype=torch.int64)
        for row, number in zip(ids, numbers, strict=True):
            row[: len(sources[number])] = torch.from_numpy(sources[number])
        bound = [model.stepper(ids.to(device), torch.tensor(lengths, device=device)) for model in models]
        stepper = bound[0] if len(bound) == 1 else Ensemble(bound)
        most = limits.limits(lengths)
        if config is None:
            found = [[one] for one in greedy(stepper, stop=stop, max_lengths=most)]
        else:
            found = beam_search(stepper, config, stop=stop, max_lengths=most, source_lengths=lengths)
        yield from zip(numbers, found, strict=True)


def outputs_of(
    model: TranslationModel,
    vocabularies: Vocabularies,
    sources: Sequence[Ids],
    text: Sequence[str],
    config: BeamConfig | None = None,
) -> list[str]:
    """The text of the best output for each source; greedy without a `config`; an empty source gives an empty one."""
    outputs = [""] * len(sources)
    full = [number for number, line in enumerate(text) if line.strip()]
    stop = vocabularies.target.line_end or 0
    for index, found in search([model], [sources[number] for number in full], config, stop):
        outputs[full[index]] = vocabularies.decode_target(found[0].ids.numpy())
    return outputs


class TranslationRun(Run[TranslationModel]):
    """A translation run, opened by `recurra.load` or returned by `recurra.train`.

    Attributes:
        settings: its configuration.
        vocabularies: of both sides.
    """

    task = "translate"

    def __init__(
        self,
        directory: RunDirectory,
        settings: TranslateConfig,
        model: TranslationModel,
        vocabularies: Vocabularies,
        corpus: PairCorpus | None = None,
        result: Result | None = None,
    ) -> None:
        super().__init__(directory, model, result)
        self.settings = settings
        self.vocabularies = vocabularies
        self._corpus = corpus

    def translate(
        self,
        lines: Sequence[str],
        beam: BeamConfig | None = None,
        greedy: bool = False,
        copy_unknown: bool = False,
        others: Sequence[TranslationRun] = (),
    ) -> Iterator[Translated]:
        """Translate lines, in their order.

        Args:
            lines: without their line ends; an empty one gives an empty output.
            beam: how to search; None for the defaults of `BeamConfig`.
            greedy: take the most probable symbol at each step instead of searching.
            copy_unknown: put in the place of each unknown word of an output the source's word that it attends to
                most.
            others: runs to make an ensemble with, of the same vocabularies.

        Raises:
            ConfigError: `copy_unknown` without attention, or where symbols are not words.
            RunError: another run has other vocabularies.
        """
        self._check(copy_unknown, others)
        config = None if greedy else (beam or BeamConfig())
        encoded = [self._encode(line) for line in lines]
        full = [number for number, line in enumerate(lines) if line.strip()]
        models = [self.model, *(run.model for run in others)]
        found: dict[int, list[Hypothesis]] = {}
        stop = self.vocabularies.target.line_end or 0
        for index, hypotheses in search(models, [encoded[number][0] for number in full], config, stop):
            found[full[index]] = hypotheses
        for number, line in enumerate(lines):
            ids, truncated = encoded[number]
            if number not in found:
                yield Translated(line, [], [Output("", [], 0.0, 0.0, None, True)], 0, False)
                continue
            source = self.vocabularies.source
            tokens = [source.symbols[index] for index in ids]
            unknown = 0 if source.unknown is None else int((ids == source.unknown).sum())
            words = line.split() if copy_unknown else None
            outputs = [self._output(one, words) for one in found[number]]
            yield Translated(line, tokens, outputs, unknown, truncated)

    def evaluate(
        self,
        test: Sequence[str] = (),
        test_source: Sequence[str] = (),
        test_target: Sequence[str] = (),
        beam: BeamConfig | None = None,
        greedy: bool = False,
    ) -> Evaluation:
        """Loss and scores over the given test files, or else the configured ones, or else the validation pairs.

        Args:
            test: tab-separated files.
            test_source, test_target: parallel files.
            beam: how to search; None for the defaults of `BeamConfig`.
            greedy: take the most probable symbol at each step instead of searching.

        Raises:
            DataError: a file cannot be used.
        """
        pairs = self.pairs(test, test_source, test_target)
        ids = [pairs.sources[index] for index in range(len(pairs.sources))]
        config = None if greedy else (beam or BeamConfig())
        outputs = outputs_of(self.model, self.vocabularies, ids, pairs.source_text, config)
        loss = mean_loss(self.model, evaluation_pair_batches(pairs, self.settings.training.batch_tokens))
        return Evaluation(loss, self.score(outputs, pairs.references), outputs)

    def score(self, outputs: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, Scored]:
        """The configured metrics of outputs."""
        how = self.settings.evaluation
        return score_outputs(
            self.settings.metrics, outputs, references, how.tokenize, how.lowercase, how.force
        )

    def pairs(
        self, test: Sequence[str] = (), test_source: Sequence[str] = (), test_target: Sequence[str] = ()
    ) -> Pairs:
        """The pairs of the given test files, or else of the configured ones, or else the validation pairs."""
        if test or test_source or test_target:
            config = dataclasses.replace(
                self.settings.data,
                test=list(test),
                test_source=list(test_source),
                test_target=list(test_target),
            )
            return load_test_pairs(config, self.vocabularies)
        self._corpus = self._corpus or load_pairs(self.settings.data, self.vocabularies)
        return self._corpus.test or self._corpus.valid

    def _encode(self, line: str) -> tuple[Ids, bool]:
        return self.vocabularies.encode_source(line, self.settings.data.max_length)

    def _output(self, found: Hypothesis, source_words: list[str] | None) -> Output:
        target = self.vocabularies.target
        ids = found.ids.numpy()
        tokens = [target.symbols[index] for index in ids]
        text = self.vocabularies.decode_target(ids)
        if source_words and found.attention is not None:
            words = tokens[:-1] if found.finished else list(tokens)
            places = found.attention[:, : len(source_words)].argmax(1).tolist()
            for position, index in enumerate(ids[: len(words)]):
                if index == target.unknown:
                    words[position] = source_words[places[position]]
            text = " ".join(words)
        return Output(text, tokens, found.log_prob, found.score, found.attention, found.finished)

    def _check(self, copy_unknown: bool, others: Sequence[TranslationRun]) -> None:
        kinds = {self.vocabularies.source.kind, self.vocabularies.target.kind}
        if copy_unknown and kinds != {"words"}:
            raise ConfigError(
                "copy_unknown: copies whole words, and this run's symbols are "
                f"{' and '.join(sorted(kinds))}; leave it out."
            )
        if copy_unknown and not self.model.shows_attention:
            raise ConfigError("copy_unknown: follows the attention, and this model has none; leave it out.")
        for other in others:
            if other.vocabularies.digest != self.vocabularies.digest:
                raise RunError(
                    f"{other.path}: has other vocabularies than {self.path}; an ensemble takes runs that were "
                    "trained on the same files with the same data.* keys."
                )
