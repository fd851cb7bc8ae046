"""Run: a trained model in use. Each task has a child of it that knows what the model is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from recurra.training.loop import Result
from recurra.training.run_directory import RunDirectory

Model = TypeVar("Model", bound=nn.Module)


class Run(Generic[Model]):
    """A run, opened by `recurra.load` or returned by `recurra.train` and `recurra.resume`.

    Attributes:
        task: the name of its task.
        directory: what it is on disk.
        model: in evaluation mode, with the weights to use.
        result: what training came to, where it was just trained.
    """

    task: ClassVar[str]

    def __init__(self, directory: RunDirectory, model: Model, result: Result | None = None) -> None:
        self.directory = directory
        self.model = model
        self.result = result

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.directory.path

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration, as in `config.yaml`."""
        return self.directory.config

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device
