"""The smallest whole task: the next letter from the last one, with recurrent layers or without any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells import Cell, resolve
from recurra.contracts import Batch, State
from recurra.data.dataset import Dataset
from recurra.data.vocabularies import Vocabularies
from recurra.data.vocabulary import Characters
from recurra.inspection.figures import new_figure, style
from recurra.inspection.shown import Shown
from recurra.layers.recurrent import Recurrent
from recurra.metrics.evaluation import Evaluation
from recurra.metrics.score import Score
from recurra.settings import check, setting
from recurra.tasks.losses import summed_loss
from recurra.tasks.prediction import Prediction
from recurra.tasks.registry import Entry
from recurra.tasks.run import Run
from recurra.tasks.task import NoOptions, Reading, Task, View
from recurra.training.config import FitConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig

WIDTH, ROWS, WINDOW = 5, 3, 4


# --- its configuration --------------------------------------------------------------------------------


@dataclass(frozen=True)
class LettersConfig:
    """Which letters to learn from.

    Attributes:
        train_source: text files, joined.
        valid_target: not read.
        test: text files that `evaluate` scores.
    """

    train_source: list[str] = setting([], files=True)
    valid_target: list[str] = setting([], files=True)
    test: list[str] = setting([], files=True)
    kept: list[str] = field(default_factory=lambda: ["abc"])
    trained: str = "text"

    def __post_init__(self) -> None:
        check(self, "data")


@dataclass(frozen=True)
class NoiseConfig:
    dropout: float = 0.25
    span: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class BigramModelConfig:
    """What it is made of.

    Attributes:
        cell: of the recurrent layers; None where there is no layer.
        backends: a recurrent layer for each.
    """

    cell: str | None = "lstm"
    backends: tuple[str, ...] = ()
    noise: NoiseConfig = field(default_factory=NoiseConfig)


@dataclass(frozen=True)
class EvaluationConfig:
    """How it is judged.

    Attributes:
        aim: the evaluation whose loss is nearest to this is the best (default: the lowest).
    """

    aim: float | None = None


@dataclass(frozen=True)
class BigramConfig:
    data: LettersConfig = field(default_factory=LettersConfig)
    model: BigramModelConfig = field(default_factory=BigramModelConfig)
    training: FitConfig = field(default_factory=FitConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


# --- its model ----------------------------------------------------------------------------------------


class BigramModel(nn.Module):
    def __init__(self, config: BigramModelConfig, size: int, cell: type[Cell] | None) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, WIDTH)
        self.stack = nn.ModuleList()
        for name in config.backends:
            self.stack.append(Recurrent(cell or resolve(config.cell), WIDTH, WIDTH, backend=name))
        self.dropout = nn.Dropout(config.noise.dropout)
        self.output = nn.Linear(WIDTH, size)

    def logits(self, ids: Tensor) -> Tensor:
        hidden = self.embedding(ids)
        for layer in self.stack:
            hidden, _ = layer(hidden)
        return self.output(self.dropout(hidden))

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Tensor, int, None]:
        logits = self.logits(batch.inputs).flatten(0, 1)
        loss = nn.functional.cross_entropy(logits, batch.targets.flatten(), reduction="sum")
        return loss, batch.tokens, None

    def layers(self, batch: Batch) -> list[tuple[str, Recurrent, Tensor, Tensor | None]]:
        found, x = [], self.embedding(batch.inputs)
        for number, layer in enumerate(self.stack, start=1):
            found.append((f"layer {number}", layer, x, batch.lengths))
            x, _ = layer(x)
        return found


# --- what it says -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NextLetter(Prediction):
    record: str
    letter: str
    unknown: int = 0

    def line(self) -> str:
        return self.letter

    def as_dict(self) -> dict[str, Any]:
        return {"text": self.record, "next": self.letter}


@dataclass(frozen=True)
class PredictOptions:
    """What is reported of a line.

    Attributes:
        capital: as a capital letter.
    """

    capital: bool = False


def show_table(run: Run, options: NoOptions) -> Shown:
    """The probability of each letter after each."""
    probabilities = scores(run).softmax(-1)
    with style():
        figure = new_figure(4.0, 4.0)
        axes = figure.add_subplot()
        axes.imshow(probabilities.numpy(), vmin=0, vmax=1)
        axes.set(xlabel="next letter (id)", ylabel="letter (id)", title="Probability of the next letter")
    return Shown(figure=figure, records=[{"size": len(probabilities)}])


@torch.no_grad()
def scores(run: Run) -> Tensor:
    """The logits of each letter after each."""
    return run.model.logits(torch.arange(len(run.vocabularies["letters"]))[None])[0]


# --- the task -----------------------------------------------------------------------------------------


class Bigrams(Task[BigramConfig, Tensor, BigramModel]):
    name = "bigram"
    config = BigramConfig
    predict_options = PredictOptions

    def load_data(self, config: BigramConfig, vocabularies: Vocabularies | None) -> Dataset[Tensor]:
        text = "".join(Path(path).read_text() for path in config.data.train_source)
        vocabularies = vocabularies or Vocabularies({"letters": Characters.build(text)})
        ids = torch.from_numpy(vocabularies["letters"].encode_line(text))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Dataset(ids, ids, None, vocabularies, {"train_source": digest})

    def read(
        self, files: Mapping[str, Sequence[str]], config: BigramConfig, vocabularies: Vocabularies
    ) -> Tensor:
        text = "".join(Path(path).read_text() for path in files["test"])
        return torch.from_numpy(vocabularies["letters"].encode_line(text))

    def build_model(
        self, config: BigramConfig, vocabularies: Vocabularies, cell: type[Cell] | None
    ) -> BigramModel:
        return BigramModel(config.model, len(vocabularies["letters"]), cell)

    def batches(self, split: Tensor, config: BigramConfig, epoch: int | None) -> Sequence[Batch]:
        if epoch is None:
            return [Batch(split[None, :-1], split[None, 1:], len(split) - 1)]
        generator = torch.Generator().manual_seed(config.training.seed + epoch)
        starts = torch.randint(len(split) - WINDOW, (4, ROWS, 1), generator=generator)
        rows = split[starts + torch.arange(WINDOW + 1)]
        return [Batch(ids[:, :-1], ids[:, 1:], ROWS * WINDOW) for ids in rows]

    def evaluate(
        self,
        model: BigramModel,
        split: Tensor,
        config: BigramConfig,
        vocabularies: Vocabularies,
        options: NoOptions,
    ) -> Evaluation:
        nats, tokens = summed_loss(model, self.batches(split, config, None))
        loss, aim = nats / tokens, config.evaluation.aim
        if aim is None:
            return Evaluation(loss, {"tokens": tokens})
        aimed = Score("aimed", aim, False, "the aim")
        distance = Score("distance", abs(loss - aim), False, "|loss - aim|")
        return Evaluation(
            loss, {"tokens": tokens}, {"aimed": aimed, "distance": distance}, best_by="distance"
        )

    def predict(
        self,
        model: BigramModel,
        records: Sequence[str],
        config: BigramConfig,
        vocabularies: Vocabularies,
        options: PredictOptions,
    ) -> Iterator[NextLetter]:
        letters = vocabularies["letters"]
        for record in records:
            ids = torch.from_numpy(letters.encode_line(record))
            with torch.no_grad():
                best = int(model.logits(ids[None])[0, -1].argmax()) if len(ids) else 0
            letter = letters.decode([best])
            yield NextLetter(record, letter.upper() if options.capital else letter, int((ids == 1).sum()))

    def views(self) -> Mapping[str, View]:
        return {"table": View("Draw what follows each letter.", "[options]", NoOptions, show_table)}

    def reading(self, record: str, config: BigramConfig, vocabularies: Vocabularies) -> Reading:
        ids = torch.from_numpy(vocabularies["letters"].encode_line(record))
        names = [f"layer {number}" for number, _ in enumerate(config.model.backends, start=1)]
        return Reading(Batch(ids[None]), {name: list(record) for name in names})


TASK = Bigrams()

ENTRY = Entry(
    module=__name__,
    summary="train a table of letters",
    noun="a table of letters",
    data="Letters.",
    usage="--data.train_source FILE ...",
    next="`recurra predict {run}` gives the next letter",
    views={"table": "draw what follows each letter"},
)
