"""Language modelling: text (or note sets) → a trained, evaluated run that samples and scores.

B batch, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from recurra.cells import Cell
from recurra.contracts import Batch, State
from recurra.data.batches import evaluation_batches, training_batches
from recurra.data.corpus import Corpus, Split, Tokens, load_corpus, load_test
from recurra.data.notes import NoteSequences
from recurra.data.text import TextConfig
from recurra.data.vocabulary import Vocabulary
from recurra.layers.mode import evaluating
from recurra.metrics.perplexity import Score
from recurra.models.language_model import LanguageModel, LanguageModelConfig
from recurra.tasks.language_run import LMRun
from recurra.tasks.task import Task
from recurra.training.config import TrainingConfig
from recurra.training.loop import Result
from recurra.training.optimiser import OptimiserConfig
from recurra.training.run_directory import RunDirectory
from recurra.training.schedule import ScheduleConfig


@dataclass(frozen=True)
class LMConfig:
    """A language model's run: one part per group of keys."""

    data: TextConfig = field(default_factory=TextConfig)
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)


class LMJob:
    """What the training loop sees of a language model: its batches, its loss, its validation score."""

    def __init__(self, model: LanguageModel, corpus: Corpus, training: TrainingConfig) -> None:
        self.model = model
        self.corpus = corpus
        self.training = training

    def batches(self, epoch: int) -> Sequence[Batch]:
        """The batches of one epoch."""
        config = self.training
        return training_batches(self.corpus.train, config.batch_size, config.bptt, config.seed, epoch)

    def loss(self, batch: Batch, state: State | None) -> tuple[Tensor, int, State]:
        """The sum of nats over the batch, its tokens, and the state to carry on."""
        return self.model.loss(batch, state)

    def evaluate(self) -> dict[str, float]:
        """Mean nats per token and perplexity on the validation split, in `batch_size` streams."""
        score = score_split(self.model, self.corpus.valid, self.corpus.vocabulary, self.training.batch_size)
        return {"loss": score.nats, **figures(score)}


def figures(score: Score) -> dict[str, float]:
    """Perplexity and bits per character; note sets, whose nats are summed over keys, have neither."""
    bits = score.bits_per_character
    return {} if bits is None else {"perplexity": score.perplexity, "bits_per_character": bits}


@torch.no_grad()
def score_split(model: LanguageModel, split: Split, vocabulary: Vocabulary, streams: int = 1) -> Score:
    """The cost of every token of a split under the model in evaluation mode.

    Args:
        streams: rows at a time. A continuous text is cut into that many streams, each from the zero state;
            1 scores it as one. Separate lines or sequences score the same for any number.
    """
    device = next(model.parameters()).device
    total, tokens, state = 0.0, 0, None
    with evaluating(model):
        for batch in evaluation_batches(split, streams):
            loss, count, state = model.loss(batch.to(device), state if batch.continues else None)
            total += float(loss)
            tokens += count
    characters = None if isinstance(split, NoteSequences) else split.characters
    return Score(total, tokens, characters, vocabulary.counted)


class LanguageModelling(Task[LMConfig, Vocabulary, Corpus, LanguageModel]):
    """`recurra train lm`."""

    name = LMRun.task
    config = LMConfig

    def load_data(self, config: LMConfig, vocabulary: Vocabulary | None) -> Corpus:
        """The corpus, in the ids of the given vocabulary or of one that is built from its training text."""
        return load_corpus(config.data, vocabulary)

    def vocabulary_of(self, data: Corpus) -> Vocabulary:
        """The corpus's own."""
        return data.vocabulary

    def save_vocabulary(self, vocabulary: Vocabulary, folder: Path) -> None:
        """Write `vocabulary.json`, and `subword.model` where there are subwords."""
        vocabulary.save(folder)

    def load_vocabulary(self, folder: Path) -> Vocabulary:
        """Read them."""
        return Vocabulary.load(folder)

    def digests(self, data: Corpus) -> dict[str, str]:
        """Of each split's files, and of the vocabulary."""
        files = {f"data.{split}": digest for split, digest in data.digests.items()}
        return files | {"vocabulary": data.vocabulary.digest}

    def build_model(
        self, config: LMConfig, vocabulary: Vocabulary, cell: type[Cell] | None = None
    ) -> LanguageModel:
        """The model for a vocabulary, its weights drawn from torch's generator."""
        return LanguageModel(config.model, len(vocabulary), cell, note_sets=vocabulary.kind == "notes")

    def job(self, model: LanguageModel, data: Corpus, config: LMConfig) -> LMJob:
        """Windows of text, and validation by loss."""
        return LMJob(model, data, config.training)

    def open(
        self,
        directory: RunDirectory,
        config: LMConfig,
        model: LanguageModel,
        vocabulary: Vocabulary,
        data: Corpus | None = None,
        result: Result | None = None,
    ) -> LMRun:
        """The run, which samples, scores and evaluates."""
        evaluator = _evaluator(config, model, vocabulary, data)
        return LMRun(directory, config.data, model, vocabulary, evaluator, result)


TASK = LanguageModelling()


def _evaluator(
    config: LMConfig, model: LanguageModel, vocabulary: Vocabulary, corpus: Corpus | None = None
) -> Callable[[Sequence[str] | None], Score]:
    """What `LMRun.evaluate` calls: a full evaluation, a continuous text as one stream."""

    def evaluate(files: Sequence[str] | None) -> Score:
        if files:
            split = load_test(files, config.data, vocabulary)
        else:
            whole = corpus or load_corpus(config.data, vocabulary)
            split = whole.test or whole.valid
        continuous = isinstance(split, Tokens) and split.offsets is None
        return score_split(model, split, vocabulary, 1 if continuous else config.training.batch_size)

    return evaluate
