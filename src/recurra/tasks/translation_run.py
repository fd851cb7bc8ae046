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
from torch.nn.utils.rnn import pad_sequence

from recurra.contracts import PairBatch, Stepper
from recurra.data.pair_batches import evaluation_pair_batches
from recurra.data.pair_split import Pairs
from recurra.data.pair_vocabularies import Vocabularies
from recurra.data.pairs import PairCorpus, load_pairs, load_test_pairs
from recurra.decode import BeamConfig, Ensemble, Hypothesis, beam_search, greedy
from recurra.errors import ConfigError, RunError
from recurra.layers.mode import evaluating
from recurra.metrics.bleu import BleuScore
from recurra.metrics.by_name import Scored, score_outputs
from recurra.metrics.perplexity import Score
from recurra.models.translation_model import TranslationModel
from recurra.tasks.run import Run
from recurra.training.loop import Result
from recurra.training.run_directory import RunDirectory

if TYPE_CHECKING:
    from recurra.tasks.translate import TranslateConfig

SOURCES_AT_ONCE = 128
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
        sources: the unique sources, as text.
        outputs: the best output of each of them.
        references: the unique targets of each of them.
    """

    loss: Score
    scores: dict[str, Scored]
    sources: list[str]
    outputs: list[str]
    references: list[list[str]]

    @property
    def notes(self) -> list[str]:
        """What speaks against a score, a line each."""
        return [score.note for score in self.scores.values() if isinstance(score, BleuScore) and score.note]

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
    total, tokens = 0.0, 0
    with evaluating(model):
        for batch in batches:
            loss, count = model.loss(batch.to(device))
            total += float(loss)
            tokens += count
    return Score(total, tokens, None, "target symbols, and one <eos> per target")


def bind(models: Sequence[TranslationModel], sources: Sequence[Ids]) -> tuple[Stepper, list[int]]:
    """The model, or the ensemble of several, bound to sources of ids `[Tx]` each, and their lengths."""
    lengths = [len(source) for source in sources]
    ids = pad_sequence([torch.from_numpy(source) for source in sources], batch_first=True)
    bound = []
    for model in models:
        device = next(model.parameters()).device
        bound.append(model.stepper(ids.to(device), torch.tensor(lengths, device=device)))
    return (bound[0] if len(bound) == 1 else Ensemble(bound)), lengths


def search(
    models: Sequence[TranslationModel],
    sources: Sequence[Ids],
    config: BeamConfig,
    stop: int,
    greedily: bool = False,
) -> Iterator[tuple[int, list[Hypothesis]]]:
    """What is found for each source, in an order of its own, that of their lengths.

    Args:
        models: one, or several whose probabilities are averaged.
        sources: ids `[Tx]` each, EOS last.
        config: of the search; of it, greedy decoding keeps to the limits of length and to `no_repeat_ngram`.
        stop: the id of EOS.
        greedily: take the most probable symbol at each step instead.

    Returns:
        The source's number and its hypotheses, best first, as they are found.
    """
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for begin in range(0, len(order), SOURCES_AT_ONCE):
        numbers = order[begin : begin + SOURCES_AT_ONCE]
        stepper, lengths = bind(models, [sources[number] for number in numbers])
        most = config.limits(lengths)
        if greedily:
            least, no_repeat = config.min_length, config.no_repeat_ngram
            best = greedy(stepper, stop=stop, max_lengths=most, min_length=least, no_repeat_ngram=no_repeat)
            found = [[one] for one in best]
        else:
            found = beam_search(stepper, config, stop=stop, max_lengths=most, source_lengths=lengths)
        yield from zip(numbers, found, strict=True)


def outputs_of(
    models: Sequence[TranslationModel],
    vocabularies: Vocabularies,
    sources: Sequence[Ids],
    text: Sequence[str],
    config: BeamConfig,
    greedily: bool = False,
) -> list[str]:
    """The text of the best output for each source, arguments as of `search`; an empty source gives an empty one."""
    outputs = [""] * len(sources)
    full = [number for number, line in enumerate(text) if line.strip()]
    stop = vocabularies.target.line_end or 0
    for index, found in search(models, [sources[number] for number in full], config, stop, greedily):
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
            greedy: take the most probable symbol at each step instead of searching; of `beam` only the limits
                of length and `no_repeat_ngram` then count.
            copy_unknown: put in the place of each unknown word of an output the source's word that it attends to
                most.
            others: runs to make an ensemble with, of the same vocabularies.

        Raises:
            ConfigError: what is asked for needs attention, or symbols that are words, and the model has none; or
                greedy decoding is to give several outputs.
            RunError: another run has other vocabularies.
        """
        config = beam or BeamConfig()
        self._check(config, greedy, copy_unknown, others)
        return self._translate(lines, config, greedy, copy_unknown, others)

    def _translate(
        self,
        lines: Sequence[str],
        config: BeamConfig,
        greedily: bool,
        copy_unknown: bool,
        others: Sequence[TranslationRun],
    ) -> Iterator[Translated]:
        encoded = [self._encode(line) for line in lines]
        full = [number for number, line in enumerate(lines) if line.strip()]
        models = [self.model, *(run.model for run in others)]
        found: dict[int, list[Hypothesis]] = {}
        stop = self.vocabularies.target.line_end or 0
        sources = [encoded[number][0] for number in full]
        for index, hypotheses in search(models, sources, config, stop, greedily):
            found[full[index]] = hypotheses
        for number, line in enumerate(lines):
            ids, truncated = encoded[number]
            if number not in found:
                yield Translated(line, [], [Output("", [], 0.0, 0.0, None, True)], 0, False)
                continue
            source = self.vocabularies.source
            tokens = [source.symbols[index] for index in ids]
            unknown = 0 if source.unknown is None else int((ids == source.unknown).sum())
            words = line.split()[: len(ids) - 1] if copy_unknown else None  # those the model saw, EOS aside
            outputs = [self._output(one, words) for one in found[number]]
            yield Translated(line, tokens, outputs, unknown, truncated)

    def evaluate(
        self,
        test: Sequence[str] = (),
        test_source: Sequence[str] = (),
        test_target: Sequence[str] = (),
        beam: BeamConfig | None = None,
        greedy: bool = False,
        others: Sequence[TranslationRun] = (),
    ) -> Evaluation:
        """Loss and scores over the given test files, or else the configured ones, or else the validation pairs.

        Args:
            test: tab-separated files.
            test_source, test_target: parallel files.
            beam, greedy, others: as of `translate`. The loss is this run's own, that of an ensemble too.

        Raises:
            ConfigError, RunError: as `translate`.
            DataError: a file cannot be used.
        """
        config = beam or BeamConfig()
        self._check(config, greedy, False, others)
        pairs = self.pairs(test, test_source, test_target)
        ids = list(pairs.sources)
        models = [self.model, *(run.model for run in others)]
        outputs = outputs_of(models, self.vocabularies, ids, pairs.source_text, config, greedy)
        loss = mean_loss(self.model, evaluation_pair_batches(pairs, self.settings.training.batch_tokens))
        scores = self.score(outputs, pairs.references)
        return Evaluation(loss, scores, pairs.source_text, outputs, pairs.references)

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

    def _check(
        self, config: BeamConfig, greedily: bool, copy_unknown: bool, others: Sequence[TranslationRun]
    ) -> None:
        """Refuse what this run and the others cannot do, before anything is read or decoded."""
        attends = any(run.model.shows_attention for run in (self, *others))
        if greedily and config.n_best > 1:
            raise ConfigError(
                f"n_best: greedy decoding finds one output, got {config.n_best}; search with a beam instead."
            )
        if not greedily and config.coverage_penalty and not attends:
            raise ConfigError("coverage_penalty: this model has no attention; leave it at 0.")
        kinds = {self.vocabularies.source.kind, self.vocabularies.target.kind}
        if copy_unknown and kinds != {"words"}:
            raise ConfigError(
                "copy_unknown: copies whole words, and this run's symbols are "
                f"{' and '.join(sorted(kinds))}; leave it out."
            )
        if copy_unknown and not attends:
            raise ConfigError("copy_unknown: follows the attention, and this model has none; leave it out.")
        for other in others:
            if other.vocabularies.digest != self.vocabularies.digest:
                raise RunError(
                    f"{other.path}: has other vocabularies than {self.path}; an ensemble takes runs that were "
                    "trained on the same files with the same data.* keys."
                )
