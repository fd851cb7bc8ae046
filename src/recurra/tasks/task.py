"""Task: what is particular to one job, from the user's files to predictions. `life` has what all share.

This module imports nothing heavy, so that a task's configuration can be shown without waiting for PyTorch.
"""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from recurra.errors import ConfigError, quoted
from recurra.settings import keys_with

if TYPE_CHECKING:
    from torch import nn

    from recurra.cells import Cell
    from recurra.contracts import Batch
    from recurra.data.dataset import Dataset
    from recurra.data.vocabularies import Vocabularies
    from recurra.decode.decoding import Decoding
    from recurra.inspection.shown import Shown
    from recurra.metrics.evaluation import Evaluation
    from recurra.tasks.prediction import Prediction
    from recurra.training.config import FitConfig
    from recurra.training.optimiser_config import OptimiserConfig
    from recurra.training.schedule import ScheduleConfig


class TaskConfig(Protocol):
    """The configuration of a run: a frozen dataclass with a section per group of keys."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def data(self) -> Any:
        """The files, marked as such (`settings.setting(..., files=True)`), and how they are read."""
        ...

    @property
    def model(self) -> Any:
        """The model; its `cell`, if it has one, is the name of a cell's class."""
        ...

    @property
    def training(self) -> FitConfig:
        """The training loop."""
        ...

    @property
    def optimiser(self) -> OptimiserConfig:
        """The optimiser."""
        ...

    @property
    def schedule(self) -> ScheduleConfig:
        """The learning rate's schedule."""
        ...


def check_sections(config: Any) -> None:
    """Refuse a configuration whose sections are something else; called in `__post_init__`.

    Raises:
        ConfigError: naming the section, what was expected, and how it is written.
    """
    for section in dataclasses.fields(config):
        value = getattr(config, section.name)
        kind = section.default_factory
        if isinstance(kind, type) and not isinstance(value, kind):
            raise ConfigError(
                f"{section.name}: expected {kind.__name__}(...), got {quoted(value)}; write "
                f"{type(config).__name__}({section.name}={kind.__name__}({_example(kind, value)}))."
            )


def _example(kind: type, value: Any) -> str:
    """The first argument, where it is files and files were given in its place."""
    first = dataclasses.fields(kind)[0]
    is_text = isinstance(value, str | os.PathLike)
    return f"{first.name}=[{quoted(value)}]" if is_text and first.metadata.get("files") else "..."


@dataclass(frozen=True)
class NoOptions:
    """The options of a use that has none."""


@dataclass(frozen=True)
class OnData:
    """Options of a view of test data, which are given as to `evaluate`.

    Attributes:
        files: by the name of their key in `config.data`; no flag, but `--data.test` and its like.
    """

    files: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A record as the model reads it, with a label for each step: what `inspect gates` colours.

    Attributes:
        batch: one row.
        symbols: by the name of a stack of layers (`Model.layers`), a label for each of its last steps; steps before
            them, which read the zero start vector, have none.
    """

    batch: Batch
    symbols: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class View:
    """A way of looking into a task's runs: `recurra inspect NAME RUN`.

    Attributes:
        summary: what it shows, in a sentence or two.
        usage: its options in the usage line.
        options: a flat frozen dataclass, from whose docstring the flags are made.
        show: makes a picture, a page, tables or plain values of a run and options; with `several` also of a list of
            further runs.
        several: it takes further runs to compare with.
    """

    summary: str
    usage: str
    options: type
    show: Callable[..., Shown]
    several: bool = False


Config = TypeVar("Config", bound=TaskConfig)
Split = TypeVar("Split")
Model = TypeVar("Model", bound="nn.Module")


class Task(ABC, Generic[Config, Split, Model]):
    """One job: how its files become data, what is trained on them, and what the run is then good for.

    A task is a file in `tasks/` with an instance named `TASK`, and an entry in `registry.TASKS`. Seven methods are its
    own; train, resume, evaluate, predict, sample, inspect, average and `start_from` then work for it.

    Attributes:
        name: as in `recurra train NAME` and `task.json`.
        config: the class of its configuration, a frozen dataclass whose sections are frozen dataclasses.
        evaluate_options, predict_options: flat frozen dataclasses of what can be asked of `evaluate` and `predict`:
            flags are made from their docstrings.
        record_key: the key of a record's text in JSON; None where a line is always plain text.
        records_at_once: how many records are read ahead and predicted together.
        makes_ensembles: `predict` and `evaluate` decode through `model.stepper` alone, so that the mean of several
            models can stand in a model's place.
    """

    name: ClassVar[str]
    config: type[Config]
    evaluate_options: ClassVar[type] = NoOptions
    predict_options: ClassVar[type] = NoOptions
    record_key: ClassVar[str | None] = "text"
    records_at_once: ClassVar[int] = 256
    makes_ensembles: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"<the task {self.name}>"

    @property
    def keys_to_score(self) -> list[str]:
        """The keys of the files that `evaluate` scores, `data.test` and what else there is."""
        return [key for key in keys_with(self.config, "files") if key.startswith("data.test")]

    # --- what each task must say ------------------------------------------------------------------

    @abstractmethod
    def load_data(self, config: Config, vocabularies: Vocabularies | None) -> Dataset[Split]:
        """The data that the configuration names, in the ids of the given vocabularies, or else of new ones.

        Raises:
            DataError: a file cannot be used.
        """

    @abstractmethod
    def read(self, files: Mapping[str, Sequence[str]], config: Config, vocabularies: Vocabularies) -> Split:
        """The split that files hold, by the name of their key in `config.data`: `{"test": [...]}`.

        Raises:
            DataError, ConfigError: a file cannot be used.
        """

    @abstractmethod
    def build_model(self, config: Config, vocabularies: Vocabularies, cell: type[Cell] | None) -> Model:
        """The model, its weights drawn from torch's generator.

        Called with a `Batch` and a state it returns the loss in nats, summed over the batch's targets, their number,
        and a state. `layers(batch)` lists its recurrent layers; `stepper(batch)` is there where it decodes.

        Args:
            config: of the run.
            vocabularies: what it must be given of the data, by name.
            cell: the class of a user's own cell, else None.
        """

    @abstractmethod
    def batches(self, split: Split, config: Config, epoch: int | None) -> Sequence[Batch]:
        """The batches of a split: of an epoch of training (0, 1, ...), a pure function of the seed and the epoch; or,
        for None, each example once in a fixed order.
        """

    @abstractmethod
    def evaluate(
        self, model: Model, split: Split, config: Config, vocabularies: Vocabularies, options: Any
    ) -> Evaluation:
        """The loss and scores of a model on a split; `options` is of `evaluate_options`."""

    @abstractmethod
    def predict(
        self,
        model: Model,
        records: Sequence[Any],
        config: Config,
        vocabularies: Vocabularies,
        options: Any,
    ) -> Iterator[Prediction]:
        """What the model says of each record, in their order; `options` is of `predict_options`.

        A record is text, or bytes where `reads_bytes`.
        """

    def views(self) -> Mapping[str, View]:
        """What this task alone can show of its runs, by name; the names are those in the registry."""
        return {}

    # --- what a task may say ----------------------------------------------------------------------

    def describe(self, data: Dataset[Split], config: Config) -> list[tuple[str, str]]:
        """What training says of its data before it begins: rows of what they are of and a text."""
        from recurra.tasks.descriptions import describe_splits, describe_vocabularies

        return [describe_splits(data), *describe_vocabularies(data.vocabularies, {})]

    def automatic(self, config: Config) -> Mapping[str, Any]:
        """Values for the dotted keys that may be `auto`, by the size of the training data and the run's limit.

        Raises:
            DataError: a file cannot be used.
        """
        return {}

    def validation_options(self, config: Config) -> Any:
        """The options with which training evaluates."""
        return self.evaluate_options()

    def check(self, model: Model, config: Config, vocabularies: Vocabularies, options: Any) -> None:
        """Refuse options of `evaluate` or `predict` that this model has no use for, before anything is read.

        Raises:
            ConfigError: naming the option and the remedy.
        """

    def reads_bytes(self, vocabularies: Vocabularies) -> bool:
        """Whether records are bytes, taken as they are: no encoding, and nothing but a newline ends a line."""
        return False

    def decoding(self, record: Any, config: Config, vocabularies: Vocabularies, options: Any) -> Decoding:
        """What sampling needs of a record; `options` are `SampleOptions`.

        Raises:
            ConfigError: the task's models do not decode.
        """
        raise ConfigError(
            f"sample: a model of the task {self.name} gives no sequence to sample; use predict."
        )

    def reading(self, record: str, config: Config, vocabularies: Vocabularies) -> Reading:
        """A record as the model reads it.

        Raises:
            ConfigError: the task's records are not text.
        """
        raise ConfigError(
            f"text: the task {self.name} reads no text; leave --text out to see the first validation example."
        )


AnyTask = Task[Any, Any, Any]
