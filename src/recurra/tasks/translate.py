"""Translation: pairs of lines → a trained, evaluated run that turns sources into targets.

B batch, S sources.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

from recurra.cells import Cell
from recurra.contracts import PairBatch, State
from recurra.data.pair_batches import evaluation_pair_batches, pair_batches
from recurra.data.pair_split import PairCounts
from recurra.data.pair_vocabularies import Vocabularies
from recurra.data.pairs import SPLITS, PairConfig, PairCorpus, load_pairs
from recurra.decode import BeamConfig
from recurra.errors import ConfigError
from recurra.metrics.bleu import check_tokenizer
from recurra.metrics.by_name import METRICS, metric_named, score_outputs
from recurra.models.encoder_decoder import EncoderDecoder
from recurra.models.transformer import Transformer
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.models.translation_model import TranslationModel
from recurra.tasks.task import Task
from recurra.tasks.translation_run import TranslationRun, mean_loss, outputs_of
from recurra.training.checks import check_name
from recurra.training.config import PairTrainingConfig
from recurra.training.loop import Result
from recurra.training.optimiser import OptimiserConfig
from recurra.training.run_directory import RunDirectory
from recurra.training.schedule import ScheduleConfig

DEFAULT_METRICS = {True: ["phoneme_error_rate", "word_error_rate"], False: ["bleu", "chrf"]}
"""Of the default data, and of files."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How outputs are scored (keys `evaluation.*`).

    Attributes:
        metrics: any of bleu, chrf, token_error_rate, phoneme_error_rate, word_error_rate and exact_match; None:
            bleu and chrf, and for the default data both error rates of pronunciation.
        best: which evaluation is the best: that with the best first metric ("score"), or the lowest loss.
        sentences: how many sources of the validation pairs are translated at each evaluation, the first ones;
            None: all.
        tokenize: sacrebleu's tokeniser for BLEU.
        lowercase: compare without case, in every metric.
        force: the files are tokenised already, and are meant to be.
    """

    metrics: list[str] | None = None
    best: Literal["score", "loss"] = "score"
    sentences: int | None = None
    tokenize: str = "13a"
    lowercase: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        if self.metrics is not None:
            if not self.metrics:
                raise ConfigError(f"evaluation.metrics: expected one of {', '.join(METRICS)}, got none.")
            for name in self.metrics:
                check_name("evaluation.metrics", name, METRICS)
        check_name("evaluation.best", self.best, ("score", "loss"))
        if self.sentences is not None and (type(self.sentences) is not int or self.sentences < 1):
            raise ConfigError(
                f"evaluation.sentences: expected a whole number above 0, got {self.sentences!r}."
            )


@dataclass(frozen=True)
class TranslateConfig:
    """A translation run: one part per group of keys."""

    data: PairConfig = field(default_factory=PairConfig)
    model: EncoderDecoderConfig = field(default_factory=EncoderDecoderConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    training: PairTrainingConfig = field(default_factory=PairTrainingConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    @property
    def metrics(self) -> list[str]:
        """What outputs are scored by, the default filled in."""
        return self.evaluation.metrics or DEFAULT_METRICS[self.data.embedded]


class TranslateJob:
    """What the training loop sees of a translation: its batches, its loss, its validation scores."""

    def __init__(self, model: TranslationModel, corpus: PairCorpus, config: TranslateConfig) -> None:
        check_tokenizer(config.evaluation.tokenize)
        self.model = model
        self.corpus = corpus
        self.config = config

    def batches(self, epoch: int) -> Sequence[PairBatch]:
        """The batches of one epoch."""
        training = self.config.training
        return pair_batches(self.corpus, training.batch_tokens, training.seed, epoch)

    def loss(self, batch: PairBatch, state: State | None) -> tuple[Tensor, int, None]:
        """The sum of nats over the batch's targets, and their number."""
        return *self.model.loss(batch), None

    def evaluate(self) -> dict[str, float]:
        """Mean nats per target symbol and perplexity over the validation pairs, and the scores of greedy outputs."""
        config, valid = self.config.evaluation, self.corpus.valid
        batches = evaluation_pair_batches(valid, self.config.training.batch_tokens)
        loss = mean_loss(self.model, batches)
        count = min(config.sentences or len(valid.sources), len(valid.sources))
        ids = [valid.sources[index] for index in range(count)]
        text = valid.source_text[:count]
        outputs = outputs_of([self.model], self.corpus.vocabularies, ids, text, BeamConfig(), greedily=True)
        scores = score_outputs(
            self.config.metrics,
            outputs,
            valid.references[:count],
            config.tokenize,
            config.lowercase,
            config.force,
        )
        figures = {name: score.score for name, score in scores.items()}
        first = self.config.metrics[0]
        sign = -1.0 if metric_named(first).higher_is_better else 1.0
        criterion = {"criterion": sign * figures[first]} if config.best == "score" else {}
        return {"loss": loss.nats, "perplexity": loss.perplexity, **figures, **criterion}


class Translation(Task[TranslateConfig, Vocabularies, PairCorpus, TranslationModel]):
    """`recurra train translate`."""

    name = TranslationRun.task
    config = TranslateConfig

    def load_data(self, config: TranslateConfig, vocabulary: Vocabularies | None) -> PairCorpus:
        """The pairs, in the ids of the given vocabularies or of new ones; what is left out is said on stderr."""
        corpus = load_pairs(config.data, vocabulary)
        for split in SPLITS:
            pairs = getattr(corpus, split)
            note = "" if pairs is None else _note(pairs.counts, config.data.max_length)
            if note:
                print(f"recurra: {split}: {note}", file=sys.stderr)
        return corpus

    def vocabulary_of(self, data: PairCorpus) -> Vocabularies:
        """Of both sides."""
        return data.vocabularies

    def save_vocabulary(self, vocabulary: Vocabularies, folder: Path) -> None:
        """Write a folder for each vocabulary."""
        vocabulary.save(folder)

    def load_vocabulary(self, folder: Path) -> Vocabularies:
        """Read them."""
        return Vocabularies.load(folder)

    def digests(self, data: PairCorpus) -> dict[str, str]:
        """Of each split's files, and of the vocabularies."""
        files = {f"data.{split}": digest for split, digest in data.digests.items()}
        return files | {"vocabulary": data.vocabularies.digest}

    def build_model(
        self, config: TranslateConfig, vocabulary: Vocabularies, cell: type[Cell] | None = None
    ) -> TranslationModel:
        """The model for two vocabularies, its weights drawn from torch's generator."""
        sizes = (len(vocabulary.source), len(vocabulary.target))
        if config.model.architecture == "transformer":
            return Transformer(config.model, *sizes, vocabulary.joint)
        return EncoderDecoder(config.model, *sizes, vocabulary.joint, cell)

    def job(self, model: TranslationModel, data: PairCorpus, config: TranslateConfig) -> TranslateJob:
        """Batches of pairs, and validation by loss and by score."""
        return TranslateJob(model, data, config)

    def open(
        self,
        directory: RunDirectory,
        config: TranslateConfig,
        model: TranslationModel,
        vocabulary: Vocabularies,
        data: PairCorpus | None = None,
        result: Result | None = None,
    ) -> TranslationRun:
        """The run, which translates and evaluates."""
        return TranslationRun(directory, config, model, vocabulary, data, result)


TASK = Translation()


def _note(counts: PairCounts, max_length: int) -> str:
    """What of a split's lines is not learned from as it stands; empty where all are."""
    parts = {
        f"{counts.empty} with an empty side left out": counts.empty,
        f"{counts.skipped} longer than {max_length} symbols left out": counts.skipped,
        f"{counts.truncated} cut to {max_length} symbols": counts.truncated,
    }
    said = ", ".join(part for part, count in parts.items() if count)
    return f"of {counts.lines} pairs {said}." if said else ""
