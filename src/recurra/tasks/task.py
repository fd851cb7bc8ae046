"""Task: what is particular to one job, from the user's files to a run in use. `life` has what all share."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from torch import nn

from recurra.cells import Cell
from recurra.errors import ConfigError
from recurra.tasks.run import Run
from recurra.training.config import FitConfig
from recurra.training.loop import Job, Result
from recurra.training.optimiser import OptimiserConfig
from recurra.training.run_directory import RunDirectory
from recurra.training.schedule import ScheduleConfig

TASKS = {"lm": "recurra.tasks.lm", "translate": "recurra.tasks.translate"}
"""Name of a task -> the module whose `TASK` it is, imported when it is needed."""


class TaskConfig(Protocol):
    """The configuration of a run: a frozen dataclass with a section per group of keys."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def data(self) -> Any:
        """The files; those are lists under names that begin with train, valid or test."""
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


Config = TypeVar("Config", bound=TaskConfig)
Vocabulary = TypeVar("Vocabulary")
Data = TypeVar("Data")
Model = TypeVar("Model", bound=nn.Module)


class Task(ABC, Generic[Config, Vocabulary, Data, Model]):
    """One job: how its files become data, what is trained on them, and what the run is then good for.

    The vocabulary is whatever a model must be given of the data to be built and used without them: two
    vocabularies and the labels' names, for example.

    Attributes:
        name: as in `recurra train NAME` and `task.json`.
        config: the class of its configuration.
    """

    name: ClassVar[str]
    config: type[Config]

    @abstractmethod
    def load_data(self, config: Config, vocabulary: Vocabulary | None) -> Data:
        """The data that the configuration names, in the ids of the given vocabulary, or else of a new one.

        Raises:
            DataError: a file cannot be used.
        """

    @abstractmethod
    def vocabulary_of(self, data: Data) -> Vocabulary:
        """The vocabulary in whose ids the data are."""

    @abstractmethod
    def save_vocabulary(self, vocabulary: Vocabulary, folder: Path) -> None:
        """Write the vocabulary's files into a run."""

    @abstractmethod
    def load_vocabulary(self, folder: Path) -> Vocabulary:
        """Read what `save_vocabulary` wrote.

        Raises:
            RunError, DataError: a file is missing or damaged.
        """

    @abstractmethod
    def digests(self, data: Data) -> dict[str, str]:
        """Fingerprints of the data and of the vocabulary, by name; resuming with others is refused."""

    @abstractmethod
    def build_model(self, config: Config, vocabulary: Vocabulary, cell: type[Cell] | None) -> Model:
        """The model, its weights drawn from torch's generator.

        Args:
            config: of the run.
            vocabulary: that it is to know.
            cell: the class of a user's own cell, else None.
        """

    @abstractmethod
    def job(self, model: Model, data: Data, config: Config) -> Job[Any]:
        """What the training loop sees."""

    @abstractmethod
    def open(
        self,
        directory: RunDirectory,
        config: Config,
        model: Model,
        vocabulary: Vocabulary,
        data: Data | None = None,
        result: Result | None = None,
    ) -> Run[Model]:
        """The run in use.

        Args:
            directory, config, model, vocabulary: of the run; the model is in evaluation mode.
            data: where they are loaded already.
            result: of the training, where it was just trained.
        """


AnyTask = Task[Any, Any, Any, Any]


def find_task(name: str) -> AnyTask:
    """The task of a name in `TASKS`."""
    task: AnyTask = import_module(TASKS[name]).TASK
    return task


def task_of(config: TaskConfig) -> AnyTask:
    """The task whose configuration it is.

    Raises:
        ConfigError: it is the configuration of none.
    """
    tasks = [find_task(name) for name in TASKS]
    for task in tasks:
        if isinstance(config, task.config):
            return task
    raise ConfigError(
        f"config: expected one of {', '.join(task.config.__name__ for task in tasks)}, "
        f"got {type(config).__name__}."
    )
