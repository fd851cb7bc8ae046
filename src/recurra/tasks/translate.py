"""Translation: pairs of lines → a trained, evaluated run that turns sources into targets.

B batch, S sources.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from recurra.data.pairs import SPLITS, PairConfig
from recurra.errors import ConfigError
from recurra.metrics.by_name import METRICS
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.settings import AUTO, check, filled, setting
from recurra.tasks.task import Reading, Task, View, check_sections
from recurra.tasks.translation_options import (
    SearchOptions,
    TranslateEvaluateOptions,
    TranslatePredictOptions,
)
from recurra.training.config import PairTrainingConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig

if TYPE_CHECKING:
    from torch import Tensor

    from recurra.cells import Cell
    from recurra.contracts import Batch
    from recurra.data.dataset import Dataset
    from recurra.data.pair_split import PairCounts, Pairs
    from recurra.data.vocabularies import Vocabularies
    from recurra.decode.decoding import Decoding
    from recurra.decode.sample_options import SampleOptions
    from recurra.metrics.evaluation import Evaluation
    from recurra.models.translation_model import TranslationModel
    from recurra.tasks.translations import Translation

DEFAULT_METRICS = {True: ["phoneme_error_rate", "sequence_error_rate"], False: ["bleu", "chrf"]}
"""Of the default data, and of files."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How outputs are scored (keys `evaluation.*`).

    Attributes:
        metrics: any of bleu, chrf, token_error_rate, phoneme_error_rate, word_error_rate, sequence_error_rate and
            exact_match (default: bleu and chrf; for the default data both error rates of pronunciation).
        best: which evaluation is the best: that with the best first metric ("score"), or the lowest loss.
        sentences: how many sources of the validation pairs are translated at each evaluation; none: all; auto: 500.
        sampled: these are drawn at random, the same ones each time; false: the first ones.
        tokenize: sacrebleu's tokeniser for BLEU.
        lowercase: compare without case, in every metric.
        allow_tokenised: the files are tokenised already, and are meant to be.
    """

    metrics: list[str] | None = setting(None, names=tuple(METRICS))
    best: Literal["score", "loss"] = "score"
    sentences: int | None = setting(AUTO, at_least=1, auto=None)
    sampled: bool = True
    tokenize: str = "13a"
    lowercase: bool = False
    allow_tokenised: bool = False

    def __post_init__(self) -> None:
        check(self, "evaluation")
        if self.metrics is not None and not self.metrics:
            raise ConfigError(f"evaluation.metrics: expected one of {', '.join(METRICS)}, got none.")


@dataclass(frozen=True)
class TranslateConfig:
    """A translation run: one part per group of keys."""

    data: PairConfig = field(default_factory=PairConfig)
    model: EncoderDecoderConfig = field(default_factory=EncoderDecoderConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    training: PairTrainingConfig = field(default_factory=PairTrainingConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)

    def __post_init__(self) -> None:
        check_sections(self)

    @property
    def metrics(self) -> list[str]:
        """What outputs are scored by, the default filled in."""
        return self.evaluation.metrics or DEFAULT_METRICS[self.data.embedded]


class Translating(Task[TranslateConfig, "Pairs", "TranslationModel"]):
    """`recurra train translate`."""

    name = "translate"
    config = TranslateConfig
    evaluate_options = TranslateEvaluateOptions
    predict_options = TranslatePredictOptions
    record_key = "source"
    makes_ensembles = True

    def load_data(self, config: TranslateConfig, vocabularies: Vocabularies | None) -> Dataset[Pairs]:
        """The pairs, in the ids of the given vocabularies or of new ones; what is left out is reported on stderr."""
        from recurra.data.pairs import load_pairs
        from recurra.metrics.bleu import check_tokenizer

        check_tokenizer(config.evaluation.tokenize)
        data = load_pairs(config.data, vocabularies)
        for split in SPLITS:
            pairs = getattr(data, split)
            note = "" if pairs is None else _note(pairs.counts, config.data.max_length)
            if note:
                print(f"recurra: {split}: {note}", file=sys.stderr)
        return data

    def read(
        self, files: Mapping[str, Sequence[str]], config: TranslateConfig, vocabularies: Vocabularies
    ) -> Pairs:
        """The pairs of tab-separated or parallel test files."""
        from recurra.data.pairs import load_test_pairs

        given = replace(
            config.data,
            test=list(files.get("test", ())),
            test_source=list(files.get("test_source", ())),
            test_target=list(files.get("test_target", ())),
        )
        return load_test_pairs(given, vocabularies)

    def build_model(
        self, config: TranslateConfig, vocabularies: Vocabularies, cell: type[Cell] | None
    ) -> TranslationModel:
        """The model for two vocabularies."""
        from recurra.models.encoder_decoder import EncoderDecoder
        from recurra.models.transformer import Transformer

        sizes = (len(vocabularies["source"]), len(vocabularies["target"]))
        joint = vocabularies.joint("source", "target")
        if config.model.architecture == "transformer":
            return Transformer(config.model, *sizes, joint)
        return EncoderDecoder(config.model, *sizes, joint, cell)

    def batches(self, split: Pairs, config: TranslateConfig, epoch: int | None) -> Sequence[Batch]:
        """Pairs of similar length, as many as fit into a number of symbols."""
        from recurra.data.pair_batches import pair_batches

        training = filled(config.training)
        return pair_batches(split, training.batch_tokens, training.seed, epoch)

    def evaluate(
        self,
        model: TranslationModel,
        split: Pairs,
        config: TranslateConfig,
        vocabularies: Vocabularies,
        options: TranslateEvaluateOptions,
    ) -> Evaluation:
        """Nats per target symbol and perplexity over all pairs, and the scores of outputs, one per unique source."""
        from recurra.data.held_out import drawn
        from recurra.data.unknown import count_unknown
        from recurra.metrics.perplexity import Cost
        from recurra.tasks.losses import summed_loss
        from recurra.tasks.translation_scores import evaluation_of
        from recurra.tasks.translation_search import outputs_of

        nats, tokens = summed_loss(model, self.batches(split, config, None))
        cost = Cost(nats, tokens, None, "target symbols, and one <eos> per target")
        count = len(split.source_text)
        chosen = drawn(count, options.sentences)
        if not config.evaluation.sampled:
            chosen = list(range(count))[: options.sentences]
        lines = [split.source_text[index] for index in chosen]
        ids = [split.sources[index] for index in chosen]
        outputs = outputs_of(model, vocabularies, ids, lines, options, options.greedy)
        references = [split.references[index] for index in chosen]
        evaluation = evaluation_of(config, cost, lines, outputs, references)
        return evaluation.with_unknown(count_unknown(vocabularies["target"], split.target.ids))

    def describe(self, data: Dataset[Pairs], config: TranslateConfig) -> list[tuple[str, str]]:
        """The splits in pairs and target symbols, and what of the validation pairs the vocabularies do not know."""
        from recurra.tasks.descriptions import describe_splits, describe_vocabularies

        valid = {"source": data.valid.source.ids, "target": data.valid.target.ids}
        return [
            describe_splits(data, "target symbols", lambda pairs: f"{len(pairs):,} pairs of "),
            *describe_vocabularies(data.vocabularies, valid),
        ]

    def automatic(self, config: TranslateConfig) -> Mapping[str, Any]:
        """By the number of pairs and their characters, and by what their lines look like."""
        from recurra.data.pairs import pair_sizes
        from recurra.tasks.automatic import translator_values

        return translator_values(pair_sizes(config.data), config)

    def validation_options(self, config: TranslateConfig) -> TranslateEvaluateOptions:
        """Greedy outputs of `evaluation.sentences` sources."""
        return TranslateEvaluateOptions(greedy=True, sentences=filled(config.evaluation).sentences)

    def check(
        self, model: TranslationModel, config: TranslateConfig, vocabularies: Vocabularies, options: Any
    ) -> None:
        """What asks for attention or whole words needs a model that has them."""
        if not isinstance(options, SearchOptions):
            return
        if options.greedy and options.n_best > 1:
            raise ConfigError(
                f"n_best: greedy decoding finds one output, got {options.n_best}; search with a beam instead."
            )
        if not options.greedy and options.coverage_penalty and not model.shows_attention:
            raise ConfigError("coverage_penalty: this model has no attention; leave it at 0.")
        if not getattr(options, "copy_unknown", False):
            return
        kinds = {vocabularies["source"].kind, vocabularies["target"].kind}
        if kinds != {"words"}:
            raise ConfigError(
                "copy_unknown: copies whole words, and this run's symbols are "
                f"{' and '.join(sorted(kinds))}; leave it out."
            )
        if not model.shows_attention:
            raise ConfigError("copy_unknown: follows the attention, and this model has none; leave it out.")

    def predict(
        self,
        model: TranslationModel,
        records: Sequence[str],
        config: TranslateConfig,
        vocabularies: Vocabularies,
        options: TranslatePredictOptions,
    ) -> Iterator[Translation]:
        """The translations of lines."""
        from recurra.tasks.translations import translate_lines

        return translate_lines(model, vocabularies, records, config.data.max_length, options)

    def views(self) -> Mapping[str, View]:
        """Attention, beams, errors, and scores by length."""
        from recurra.tasks.translation_views import VIEWS

        return VIEWS

    def decoding(
        self, record: str, config: TranslateConfig, vocabularies: Vocabularies, options: SampleOptions
    ) -> Decoding:
        """The record is the source whose translations are sampled."""
        import torch

        from recurra.data.pair_vocabularies import decode_line
        from recurra.data.unknown import note_on_unknown
        from recurra.decode.decoding import Decoding

        if not record.strip():
            raise ConfigError("prompt: expected a source to translate, got none.")
        source, target = vocabularies["source"], vocabularies["target"]
        batch = self._batch(record, config, vocabularies)

        def text(drawn: Tensor) -> str:
            return decode_line(target, drawn.cpu().numpy())

        forbid = () if target.unk_id is None else (target.unk_id,)
        ids: Any = batch.inputs
        note = note_on_unknown(source, record, ids[0].numpy(), "the source")
        return Decoding(batch, torch.empty(0, dtype=torch.int64), target.eos_id, forbid, text, note=note)

    def reading(self, record: str, config: TranslateConfig, vocabularies: Vocabularies) -> Reading:
        """A source, as the encoder reads it."""
        from recurra.tasks.translation_traces import labels

        batch = self._batch(record, config, vocabularies)
        ids: Any = batch.inputs
        return Reading(batch, {"encoder": labels(vocabularies["source"], record, ids[0].numpy())})

    def _batch(self, record: str, config: TranslateConfig, vocabularies: Vocabularies) -> Batch:
        import torch

        from recurra.contracts import Batch
        from recurra.tasks.translation_traces import encode_source

        ids = torch.from_numpy(encode_source(vocabularies, record, config.data.max_length))
        return Batch(ids[None], lengths=torch.tensor([len(ids)]))


TASK = Translating()


def _note(counts: PairCounts, max_length: int) -> str:
    """What of a split's lines is not learned from as it stands; empty where all are."""
    parts = {
        f"{counts.empty} with an empty side left out": counts.empty,
        f"{counts.skipped} longer than {max_length} symbols left out": counts.skipped,
        f"{counts.truncated} cut to {max_length} symbols": counts.truncated,
    }
    text = ", ".join(part for part, count in parts.items() if count)
    return f"of {counts.lines} pairs {text}." if text else ""
