"""A tiny real job: an LSTM over random symbols with dropout, carried state and an epoch order of its own."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # what the first optimiser imports: here, it is shared by all forked processes
from torch import Tensor, nn

from recurra.contracts import Batch, State
from recurra.metrics.evaluation import Evaluation
from recurra.metrics.records import evaluations
from recurra.metrics.score import Score
from recurra.training.config import TrainingConfig
from recurra.training.job import Settings, StartingLoss
from recurra.training.loop import Loop, fit
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.result import Result
from recurra.training.resume import model_tensors
from recurra.training.run_directory import ResumeState, RunDirectory
from recurra.training.schedule import ScheduleConfig

SYMBOLS, HIDDEN, ROWS, WINDOW, WINDOWS = 7, 9, 3, 5, 6


class CellLoop(nn.LSTMCell):
    """The same layer as a plain loop: oneDNN has no bfloat16 LSTM on most CPUs."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None):  # type: ignore[override]
        state = None if state is None else (state[0][0], state[1][0])
        outputs = []
        for step in x.unbind(1):
            state = super().forward(step, state)
            outputs.append(state[0])
        assert state is not None
        return torch.stack(outputs, 1), (state[0][None], state[1][None])


class TinyModel(nn.Module):
    def __init__(self, loop: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, HIDDEN)
        self.lstm = CellLoop(HIDDEN, HIDDEN) if loop else nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.output = nn.Linear(HIDDEN, SYMBOLS)
        self.output.weight = self.embedding.weight  # tied: named once in the files

    def forward(self, batch: Batch, state: State | None = None) -> tuple[Tensor, int, State | None]:
        """What the training loop calls; the job may look on."""
        return self.loss(batch, state)

    def logits(self, ids: Tensor, state: State | None) -> tuple[Tensor, State]:
        carried = None if state is None else tuple(state.layers[0][0][name][None] for name in ("h", "c"))
        outputs, (h, c) = self.lstm(self.embedding(ids), carried)
        return self.output(self.dropout(outputs)), State((({"h": h[0], "c": c[0]},),))


def evaluation(loss: float, criterion: float | None = None, **scores: float) -> Evaluation:
    """A loss and figures; the criterion, where there is one, is the number that is to fall."""
    figures = scores if criterion is None else {**scores, "aim": criterion}
    named = {name: Score(name, value, False, name) for name, value in figures.items()}
    return Evaluation(loss, {"tokens": 1}, named, best_by=None if criterion is None else "aim")


class TinyJob:
    """Epochs of one stream cut into windows; `spoil_at` makes the loss NaN from that call on."""

    def __init__(self, seed: int = 1, spoil_at: int | None = None, pause: float = 0.0, loop=False) -> None:
        torch.manual_seed(seed)
        self.seed, self.spoil_at, self.pause = seed, spoil_at, pause
        self.model = TinyModel(loop)
        self.model.loss = self.loss
        self.calls = 0
        self.states_given: list[bool] = []

    def batches(self, epoch: int) -> Sequence[Batch]:
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        order = torch.arange(ROWS)[:, None] + torch.arange(WINDOW * WINDOWS + 1)[None]
        noise = torch.randint(0, 2, order.shape, generator=generator)
        ids = (order + noise) % SYMBOLS
        return [
            Batch(ids[:, k : k + WINDOW], ids[:, k + 1 : k + 1 + WINDOW], ROWS * WINDOW, continues=k > 0)
            for k in range(0, WINDOW * WINDOWS, WINDOW)
        ]

    def loss(self, batch: Batch, state: State | None) -> tuple[Tensor, int, State | None]:
        time.sleep(self.pause)
        self.calls += 1
        self.states_given.append(state is not None)
        logits, state = self.model.logits(batch.inputs, state)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="sum")
        if self.spoil_at is not None and self.calls >= self.spoil_at:
            loss = loss * float("nan")
        return loss, batch.tokens, state

    def evaluate(self) -> Evaluation:
        loss_sum, tokens = 0.0, 0
        for batch in self.batches(10**6):
            logits, _ = self.model.logits(batch.inputs, None)
            loss_sum += (
                float(nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())) * ROWS
            )
            tokens += ROWS
        torch.rand(1)  # an evaluation may draw random numbers
        return evaluation(loss_sum / tokens, perplexity=2.0 ** (loss_sum / tokens))

    def starting_loss(self) -> StartingLoss:
        torch.rand(1)
        return StartingLoss(math.log(SYMBOLS), 1, 1)


class StubbornJob(TinyJob):
    """Is interrupted twice in its first update."""

    def loss(self, batch: Batch, state: State | None) -> tuple[Tensor, int, State | None]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return super().loss(batch, state)


@dataclasses.dataclass
class Setup:
    training: TrainingConfig = dataclasses.field(default_factory=lambda: TrainingConfig(steps=20))
    optimiser: OptimiserConfig = dataclasses.field(default_factory=OptimiserConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=lambda: ScheduleConfig(warmup_steps=3))
    fingerprint: dict[str, str] = dataclasses.field(default_factory=dict)
    before: float = 0.0
    evaluation: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, schedule=None, optimiser="adamw", before=0.0, **training) -> Setup:
        schedule = schedule or ScheduleConfig(warmup_steps=3)
        return cls(TrainingConfig(**training), OptimiserConfig(name=optimiser), schedule, {}, before)

    def write_files(self, folder: Path) -> None:
        (folder / "vocabulary.json").write_text("{}")
        time.sleep(self.before)

    @property
    def settings(self) -> Settings:
        parts = self.training, self.optimiser, self.schedule
        return Settings(*parts, self.fingerprint, evaluation=self.evaluation)

    def create(self, path: Path, job: TinyJob, overwrite: bool = False) -> RunDirectory:
        """A new run at step 0, as `train` makes one."""
        return self.place(path, job, overwrite)(Loop(job, self.settings).state())

    def place(
        self, path: Path, job: TinyJob, overwrite: bool = False
    ) -> Callable[[ResumeState], RunDirectory]:
        values = {"task": "tiny", "training": dataclasses.asdict(self.training)}

        def make(state: ResumeState) -> RunDirectory:
            weights = model_tensors(job.model)
            return RunDirectory.create(path, values, self.write_files, weights, state, overwrite)

        return make

    def fit(self, run: RunDirectory, job: TinyJob, resume: bool = False) -> Result:
        return fit(job, self.settings, run, resume)

    def train(self, path: Path, job: TinyJob | None = None) -> Result:
        job = job or TinyJob()
        return fit(job, self.settings, self.place(path, job))

    def resume(self, path: Path, job: TinyJob | None = None) -> Result:
        return self.fit(RunDirectory.open(path), job or TinyJob(seed=1), resume=True)


def everything(path: Path) -> dict[str, Tensor]:
    """The run's end: resume tensors (weights, optimiser, generators, carried state), and the weights to use."""
    run = RunDirectory.open(path)
    state = run.load_resume()
    return state.tensors | {f"best.{name}": tensor for name, tensor in run.load_weights().items()}


def evaluated(path: Path) -> list[dict[str, Any]]:
    """The lines of evaluations in `metrics.jsonl`, but for the loss before the first update."""
    return [dict(row) for row in evaluations(RunDirectory.open(path).metrics()) if row["step"]]


def assert_same_end(left: Path, right: Path) -> None:
    """Bit for bit the same tensors, and the same metrics but for the clock."""
    mine, theirs = everything(left), everything(right)
    assert set(mine) == set(theirs)
    different = [name for name in mine if not torch.equal(mine[name], theirs[name])]
    assert not different, different
    rows = [
        [{k: v for k, v in row.items() if k not in ("seconds", "tokens_per_second")} for row in run.metrics()]
        for run in (RunDirectory.open(left), RunDirectory.open(right))
    ]
    for here, there in zip(*rows, strict=True):
        assert here == there, {
            key: (here[key], there.get(key)) for key in here if here[key] != there.get(key)
        }


def run_in_process(folder: Path, resume: bool, options: dict[str, object], before: float) -> None:
    """Train in a process of its own; `before` seconds pass while the directory is being built."""
    torch.set_num_threads(1)
    setup = Setup.of(before=before, **options)
    if resume:
        setup.resume(folder, TinyJob(pause=0.002))
    else:
        setup.train(folder, TinyJob(pause=0.002))
