"""Language modelling: text (or note sets) → a trained, evaluated run that scores lines and samples.

B batch, T time, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recurra.data.text import TextConfig
from recurra.errors import ConfigError
from recurra.models.language_model_config import LanguageModelConfig
from recurra.settings import check, filled, setting
from recurra.tasks.task import Reading, Task, check_sections
from recurra.training.config import TrainingConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig

if TYPE_CHECKING:
    from torch import Tensor

    from recurra.cells import Cell
    from recurra.contracts import Batch
    from recurra.data.corpus import Split
    from recurra.data.dataset import Dataset
    from recurra.data.vocabularies import Vocabularies
    from recurra.data.vocabulary import Vocabulary
    from recurra.decode.decoding import Decoding
    from recurra.decode.sample_options import SampleOptions
    from recurra.layers.heads import Distribution
    from recurra.metrics.evaluation import Evaluation
    from recurra.models.language_model import LanguageModel
    from recurra.tasks.line_scores import LinePrediction

TEXT = "text"
"""The name of the one vocabulary."""


@dataclass(frozen=True)
class LMConfig:
    """A language model's run: one part per group of keys."""

    data: TextConfig = field(default_factory=TextConfig)
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        check_sections(self)


@dataclass(frozen=True)
class LMEvaluateOptions:
    """How a text is scored.

    Attributes:
        streams: rows side by side; a continuous text is cut into that many streams, each from the zero state
            (default: one stream; of separate lines `training.batch_size`, which changes no score).
    """

    streams: int | None = setting(None, at_least=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class LMPredictOptions:
    """What is reported of each line.

    Attributes:
        tokens: add each token's share of the log-probability.
        choose: a line holds alternatives, separated by tabs; give the most probable one.
    """

    tokens: bool = False
    choose: bool = False


class LanguageModelling(Task[LMConfig, "Split", "LanguageModel"]):
    """`recurra train lm`."""

    name = "lm"
    config = LMConfig
    evaluate_options = LMEvaluateOptions
    predict_options = LMPredictOptions
    record_key = None  # a line of text may begin with a brace
    records_at_once = 32

    def load_data(self, config: LMConfig, vocabularies: Vocabularies | None) -> Dataset[Split]:
        """The corpus, in the ids of the given vocabulary or of one that is built from its training text."""
        from recurra.data.corpus import load_corpus

        return load_corpus(config.data, vocabularies)

    def read(self, files: Mapping[str, Sequence[str]], config: LMConfig, vocabularies: Vocabularies) -> Split:
        """The text of test files."""
        from recurra.data.corpus import load_test

        return load_test(files["test"], config.data, vocabularies)

    def build_model(
        self, config: LMConfig, vocabularies: Vocabularies, cell: type[Cell] | None
    ) -> LanguageModel:
        """The model for a vocabulary."""
        from recurra.models.language_model import LanguageModel

        vocabulary = vocabularies[TEXT]
        distribution: Distribution = "bernoulli" if vocabulary.kind == "notes" else "categorical"
        return LanguageModel(config.model, len(vocabulary), cell, distribution)

    def batches(self, split: Split, config: LMConfig, epoch: int | None) -> Sequence[Batch]:
        """Windows of text that carry the state on, or lines of similar length."""
        from recurra.data.batches import evaluation_batches, training_batches

        training = filled(config.training)
        if epoch is None:
            return evaluation_batches(split, training.batch_size)
        return training_batches(split, training.batch_size, training.bptt, training.seed, epoch)

    def evaluate(
        self,
        model: LanguageModel,
        split: Split,
        config: LMConfig,
        vocabularies: Vocabularies,
        options: LMEvaluateOptions,
    ) -> Evaluation:
        """Nats per token over every token; of text also perplexity and bits per character."""
        from recurra.data.batches import evaluation_batches
        from recurra.data.corpus import Tokens
        from recurra.data.unknown import count_unknown
        from recurra.metrics.perplexity import Cost
        from recurra.tasks.losses import summed_loss

        continuous = isinstance(split, Tokens) and split.offsets is None
        streams = options.streams or (1 if continuous else filled(config.training).batch_size)
        nats, tokens = summed_loss(model, evaluation_batches(split, streams))
        characters = split.characters if isinstance(split, Tokens) else None
        evaluation = Cost(nats, tokens, characters, vocabularies[TEXT].unit).evaluation()
        if not isinstance(split, Tokens) or vocabularies[TEXT].unk_id is None:
            return evaluation
        return evaluation.with_unknown(count_unknown(vocabularies[TEXT], split.ids))

    def describe(self, data: Dataset[Split], config: LMConfig) -> list[tuple[str, str]]:
        """The splits in symbols, and what of the validation text the vocabulary does not know."""
        from recurra.data.corpus import Tokens
        from recurra.tasks.descriptions import describe_splits, describe_vocabularies

        valid = {TEXT: data.valid.ids} if isinstance(data.valid, Tokens) else {}
        return [
            describe_splits(data, config.data.vocabulary),
            *describe_vocabularies(data.vocabularies, valid),
        ]

    def automatic(self, config: LMConfig) -> Mapping[str, Any]:
        """By the characters of the training text; note sets take what suits a megabyte of text."""
        from recurra.data.corpus import training_size
        from recurra.tasks.automatic import language_model_values

        notes = config.data.vocabulary == "notes"
        return language_model_values(1_000_000 if notes else training_size(config.data), config)

    def validation_options(self, config: LMConfig) -> LMEvaluateOptions:
        """As many streams as in training: as fast, and a little worse than one stream."""
        return LMEvaluateOptions(filled(config.training).batch_size)

    def check(self, model: LanguageModel, config: LMConfig, vocabularies: Vocabularies, options: Any) -> None:
        """Note sets are no lines of text to score."""
        if isinstance(options, LMPredictOptions) and vocabularies[TEXT].kind == "notes":
            raise ConfigError(
                "score: a model of note sets scores no text; use evaluate with a JSON file of notes."
            )

    def reads_bytes(self, vocabularies: Vocabularies) -> bool:
        """Of bytes, a line is its bytes."""
        return vocabularies[TEXT].reads_bytes

    def predict(
        self,
        model: LanguageModel,
        records: Sequence[str | bytes],
        config: LMConfig,
        vocabularies: Vocabularies,
        options: LMPredictOptions,
    ) -> Iterator[LinePrediction]:
        """How probable each line is, from the zero state, its line end included; or which alternative is most."""
        from recurra.tasks.line_scores import choose_alternatives, score_lines

        how = choose_alternatives if options.choose else score_lines
        return how(model, vocabularies[TEXT], records, options.tokens)

    def decoding(
        self, record: str | bytes, config: LMConfig, vocabularies: Vocabularies, options: SampleOptions
    ) -> Decoding:
        """The record is the beginning of the text that is sampled."""
        import torch

        from recurra.contracts import Batch
        from recurra.data.unknown import note_on_unknown
        from recurra.data.vocabulary import Bytes, text_of
        from recurra.decode.decoding import Decoding

        vocabulary = vocabularies[TEXT]
        stop_at_end = options.stop_at_line_end or config.data.layout == "lines"
        if options.stop_at_line_end and vocabulary.eos_id is None:
            raise ConfigError("stop_at_line_end: note sets have no line ends; limit max_length instead.")
        prompt = torch.from_numpy(vocabulary.encode_line(record).astype("int64"))

        def text(drawn: Tensor) -> str:
            return vocabulary.decode(torch.cat([prompt, drawn.cpu()]).numpy())

        def data(drawn: Tensor) -> bytes:
            assert isinstance(vocabulary, Bytes)
            return vocabulary.decode_bytes(torch.cat([prompt, drawn.cpu()]).numpy())

        return Decoding(
            Batch.of_rows(1),
            prompt,
            stop=vocabulary.eos_id if stop_at_end else None,
            forbid=() if vocabulary.unk_id is None else (vocabulary.unk_id,),
            text=text,
            data=data if isinstance(vocabulary, Bytes) else None,
            note=note_on_unknown(vocabulary, text_of(record), prompt.numpy(), "the prompt"),
        )

    def reading(self, record: str, config: LMConfig, vocabularies: Vocabularies) -> Reading:
        """A text from its start; each symbol is labelled where it has been read."""
        import torch

        from recurra.contracts import Batch

        vocabulary = vocabularies[TEXT]
        symbols = torch.from_numpy(vocabulary.encode_line(record).astype("int64"))
        if not len(symbols):
            raise ConfigError("text: expected at least one symbol to read, got none.")
        start = torch.full_like(symbols[:1], -1 if symbols.ndim == 1 else 0)
        batch = Batch(torch.cat([start, symbols])[None])
        return Reading(batch, {"": _labels(vocabulary, symbols)})


def _labels(vocabulary: Vocabulary, symbols: Tensor) -> list[str]:
    if symbols.ndim > 1:  # note sets: the notes that sound
        return [vocabulary.decode(row[None].numpy()).strip() or "-" for row in symbols]
    return ["\n" if index == vocabulary.eos_id else vocabulary.symbols[index] for index in symbols.tolist()]


TASK = LanguageModelling()
