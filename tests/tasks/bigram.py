"""A tiny task of its own: the next letter from the last one, with recurrent layers or without any."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from recurra.cells import Cell, resolve
from recurra.contracts import Batch, State
from recurra.layers.recurrent import Recurrent
from recurra.tasks.run import Run
from recurra.tasks.task import Task
from recurra.training.config import FitConfig
from recurra.training.optimiser import OptimiserConfig
from recurra.training.run_directory import RunDirectory
from recurra.training.schedule import ScheduleConfig

WIDTH, ROWS, WINDOW = 5, 3, 4


@dataclass(frozen=True)
class LettersConfig:
    train_source: list[str] = field(default_factory=list)
    valid_target: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=lambda: ["abc"])
    trained: str = "text"


@dataclass(frozen=True)
class NoiseConfig:
    dropout: float = 0.25
    span: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class BigramModelConfig:
    cell: str | None = "lstm"  # None where there is no layer
    backends: tuple[str, ...] = ()  # a recurrent layer for each
    noise: NoiseConfig = field(default_factory=NoiseConfig)


@dataclass(frozen=True)
class EvaluationConfig:
    aim: float | None = None


@dataclass(frozen=True)
class BigramConfig:
    data: LettersConfig = field(default_factory=LettersConfig)
    model: BigramModelConfig = field(default_factory=BigramModelConfig)
    training: FitConfig = field(default_factory=FitConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


class BigramModel(nn.Module):
    def __init__(self, config: BigramModelConfig, size: int, cell: type[Cell] | None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, WIDTH)
        self.layers = nn.ModuleList()
        for name in config.backends:
            self.layers.append(Recurrent(cell or resolve(config.cell), WIDTH, WIDTH, backend=name))
        self.dropout = nn.Dropout(config.noise.dropout)
        self.output = nn.Linear(WIDTH, size)

    def forward(self, ids: Tensor) -> Tensor:
        hidden = self.embedding(ids)
        for layer in self.layers:
            hidden, _ = layer(hidden)
        return self.output(self.dropout(hidden))


@dataclass(frozen=True)
class Letters:
    vocabulary: str
    ids: Tensor
    digest: str


class BigramJob:
    def __init__(self, model: BigramModel, data: Letters, config: BigramConfig) -> None:
        self.model, self.data, self.config = model, data, config

    def batches(self, epoch: int) -> Sequence[Batch]:
        generator = torch.Generator().manual_seed(self.config.training.seed + epoch)
        starts = torch.randint(len(self.data.ids) - WINDOW, (4, ROWS, 1), generator=generator)
        rows = self.data.ids[starts + torch.arange(WINDOW + 1)]
        return [Batch(ids[:, :-1], ids[:, 1:], ROWS * WINDOW) for ids in rows]

    def loss(self, batch: Batch, state: State | None) -> tuple[Tensor, int, None]:
        logits = self.model(batch.inputs)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
        return loss, batch.tokens, None

    def evaluate(self) -> dict[str, float]:
        logits = self.model(self.data.ids[None, :-1])[0]
        loss = float(nn.functional.cross_entropy(logits, self.data.ids[1:]))
        aim = self.config.evaluation.aim
        return {"loss": loss} if aim is None else {"loss": loss, "criterion": abs(loss - aim), "aimed": aim}


class BigramRun(Run[BigramModel]):
    task = "bigram"

    def __init__(self, directory: RunDirectory, model: BigramModel, vocabulary: str, result=None) -> None:
        super().__init__(directory, model, result)
        self.vocabulary = vocabulary

    @torch.no_grad()
    def scores(self) -> Tensor:
        return self.model(torch.arange(len(self.vocabulary))[None])


class Bigrams(Task[BigramConfig, str, Letters, BigramModel]):
    name = BigramRun.task
    config = BigramConfig

    def load_data(self, config, vocabulary):
        text = "".join(Path(path).read_text() for path in config.data.train_source)
        vocabulary = vocabulary or "".join(sorted(set(text)))
        ids = torch.tensor([vocabulary.index(letter) for letter in text])
        return Letters(vocabulary, ids, hashlib.sha256(text.encode()).hexdigest())

    def vocabulary_of(self, data):
        return data.vocabulary

    def save_vocabulary(self, vocabulary, folder):
        (folder / "letters.txt").write_text(vocabulary)

    def load_vocabulary(self, folder):
        return (folder / "letters.txt").read_text()

    def digests(self, data):
        return {"data.train_source": data.digest, "vocabulary": data.vocabulary}

    def build_model(self, config, vocabulary, cell):
        return BigramModel(config.model, len(vocabulary), cell)

    def job(self, model, data, config):
        return BigramJob(model, data, config)

    def open(self, directory, config, model, vocabulary, data=None, result=None):
        return BigramRun(directory, model, vocabulary, result)


TASK = Bigrams()
