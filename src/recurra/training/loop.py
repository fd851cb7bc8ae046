"""The training loop: truncated back-propagation through time over a job's batches, with exact resume.

A job is what a task makes of its files and its model. The loop knows batches, losses and evaluations; it does not
know text. In the order in which `Loop` does it:

1. `create` a run with the state at step 0, or `restore` one from its last complete state;
2. until a limit of the run is reached: evaluate where an evaluation is due, save where a save is due, and update the
   weights on the next `training.accumulate` batches, the recurrent state carried from each to the next;
3. evaluate and save once more.

Between two updates the whole of its state is in `Loop.state`, so that a run killed at any moment continues bit for bit
from its last save.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from recurra.contracts import Batch
from recurra.errors import RunError, TrainingError
from recurra.metrics.evaluation import Evaluation
from recurra.training.counters import Counters
from recurra.training.denormals import FlushDenormals
from recurra.training.display import Display, EventFiles, check_tensorboard
from recurra.training.interrupt import Interrupt, Interrupted
from recurra.training.job import Job, Settings
from recurra.training.resume import (
    FORMAT,
    check_fingerprint,
    current_values,
    model_tensors,
    pack_generators,
    unpack_generators,
)
from recurra.training.run_directory import ResumeState, RunDirectory
from recurra.training.schedule import Schedule
from recurra.training.update import Updater

SAVE_SECONDS = 300.0  # the longest time between two saves, unless `save_every` says otherwise
SAVE_SHARE = 20.0  # an evaluation saves where the last save took less than 1/20 of the time since
VALUES = ("counters", "schedule", "settings", "fingerprint", "environment", "metrics")


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        step: updates made.
        epoch: passes over the data made, with their fraction.
        tokens: targets trained on.
        seconds: wall clock from the first batch to the end of the last update.
        reason: what ended it: steps, epochs, minutes, patience or interrupted.
        best_loss, best_step: of the best evaluation, the one whose `criterion` (without one: whose loss) was
            lowest; None before the first.
        metrics: the last line of `metrics.jsonl`, empty before the first.
    """

    step: int
    epoch: float
    tokens: int
    seconds: float
    reason: str
    best_loss: float | None
    best_step: int | None
    metrics: dict[str, Any]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C or SIGTERM ended it; `fit` with `resume=True` continues it."""
        return self.reason == "interrupted"


def fit(
    job: Job,
    settings: Settings,
    run: RunDirectory | Callable[[ResumeState], RunDirectory],
    resume: bool = False,
) -> Result:
    """Train until a limit: a new run from step 0, or a run from its last complete state.

    The model ends with the last weights; those that `training.weights` asks for are `run.load_weights()`.
    Denormal numbers are flushed to 0 in updates (see `denormals`), but not in evaluations, nor after the call.

    Args:
        job: the same as when the run was created, up to its weights. Seed torch with `training.seed` before building
            the model: its generators continue from where they are.
        settings: those of the run; a change is reported on stderr.
        run: where everything is saved; or the function that makes a new run of the state at step 0, called once
            the job has shown that it has batches.
        resume: the run may have been trained before.

    Returns:
        What the run came to, after an interruption as well.

    Raises:
        RunError: the resume state is damaged, or data or program have changed; or the run was trained
            before and `resume` is false.
        TrainingError: there are no batches, the loss is not finite, or saving failed; the last complete state stays.
    """
    threads = torch.get_num_threads()
    if settings.training.threads is not None:
        torch.set_num_threads(settings.training.threads)
    try:
        loop = Loop(job, settings)
        if isinstance(run, RunDirectory):
            loop.restore(run, resume)
        else:
            loop.create(run)
        with loop.flush:
            return loop.train()
    finally:
        torch.set_num_threads(threads)


class Loop:
    """One call of `fit`."""

    def __init__(self, job: Job, settings: Settings) -> None:
        self.job, self.settings, self.config = job, settings, settings.training
        if self.config.tensorboard:
            check_tensorboard()
        self._run: RunDirectory | None = None
        self.updater = Updater(job, settings.training, settings.optimiser)
        self.schedule = Schedule(settings.schedule)
        self.counters = Counters()
        self.metrics: dict[str, Any] = {}
        self.best: dict[str, Tensor] | None = None  # weights of the best evaluation, not yet on disk
        self.batches: Sequence[Batch] = ()
        self.recent: deque[float] = deque(maxlen=20)  # seconds of the last updates
        self.saved = (0, 0)  # step and evaluated step of the state on disk
        self.saving_seconds = 0.0
        self.notes: list[str] = []
        self.interrupt = Interrupt()
        self.flush = FlushDenormals()

    @property
    def run(self) -> RunDirectory:
        """Where everything is saved."""
        assert self._run is not None, "`create` or `restore` comes first"
        return self._run

    # ---------------------------------------------------------------- state

    def state(self) -> ResumeState:
        """Everything that the rest of the run depends on."""
        values = {
            "format": FORMAT,
            "counters": asdict(self.counters),
            "schedule": self.schedule.pack(),
            "settings": self.settings.values(),
            "fingerprint": dict(self.settings.fingerprint),
            "environment": self.settings.facts(self.updater.device),
            "metrics": self.metrics,
        }
        return ResumeState(self.counters.step, self.updater.pack(), values)

    def create(self, make: Callable[[ResumeState], RunDirectory]) -> None:
        """Begin a new run: `make` writes it with the state at step 0."""
        self._open_epoch()  # data that yield no batches are refused before anything is written
        self._run = make(self.state())

    def restore(self, run: RunDirectory, resume: bool) -> None:
        """Continue from the run's last complete state."""
        self._run = run
        state = run.load_resume()
        source = run.path / "resume" / run.latest
        if state.step and not resume:
            raise RunError(f"{run.path}: trained for {state.step} steps already; resume it instead.")
        values = current_values(state.values, source)
        for key in VALUES:
            if not isinstance(values.get(key), dict):
                raise RunError(f"{source}: values.json has no mapping {key!r}; damaged or foreign.")
        check_fingerprint(values["fingerprint"], self.settings.fingerprint, self.run.path)
        self.counters = Counters.unpack(values["counters"], source)
        self.schedule.unpack(values["schedule"], source)
        self.metrics = values["metrics"]
        self.updater.unpack(state.tensors, source)
        self.recent.append(self.counters.update_seconds)
        self.saved = (state.step, self.counters.evaluated)
        changed = _changes(values["settings"], self.settings.values())
        for key in self.settings.fixed() & changed.keys():
            raise RunError(
                f"{self.run.path}: {changed[key]}; a run keeps it: put it back, or train a new run."
            )
        changed |= _changes(values["environment"], self.settings.facts(self.updater.device))
        self.notes = [
            f"note: {change}; the run continues, but not bit for bit." for change in changed.values()
        ]

    # ---------------------------------------------------------------- the run

    def train(self) -> Result:
        """Updates, evaluations and saves, until a limit or an interruption."""
        self.began = self.saved_time = time.perf_counter()
        self.seconds_before = self.counters.seconds
        if not self.batches:
            self._open_epoch()
        self.display = Display(self._progress())
        self.events: EventFiles | None = None
        if self.config.tensorboard:
            self.events = EventFiles(str(self.run.path / "tensorboard"), self.counters.step)
        for note in self.notes:
            self.display.note(note)
        self.updater.model.train()
        try:
            with self.interrupt:
                reason = self._run_to_the_end()
        finally:
            self.display.close()
            if self.events is not None:
                self.events.close()
        counters = self.counters
        return Result(
            step=counters.step,
            epoch=counters.epochs,
            tokens=counters.tokens,
            seconds=counters.trained_seconds,
            reason=reason,
            best_loss=counters.best_loss,
            best_step=counters.best_step,
            metrics=self.metrics,
        )

    def _run_to_the_end(self) -> str:
        try:
            while True:
                reason = self.counters.limit_reached(self.config, self._elapsed())
                if self.counters.evaluation_due(self.config, self._elapsed(), ending=reason is not None):
                    self._evaluate()
                    continue
                if reason is not None or self.interrupt.requested:
                    self._save()
                    return reason or "interrupted"
                if self._save_due():
                    self._save()
                self._update()
        except Interrupted:
            self._save()
            return "interrupted"

    def _elapsed(self) -> float:
        return self.seconds_before + time.perf_counter() - self.began

    def _progress(self) -> float:
        return self.counters.progress(self.config, self._elapsed())

    def _open_epoch(self) -> None:
        self.batches = self.job.batches(self.counters.epoch)
        if not self.batches:
            raise TrainingError(f"epoch {self.counters.epoch}: the training data yield no batches.")
        self.counters.epoch_length = len(self.batches)

    def _update(self) -> None:
        started = time.perf_counter()
        counters = self.counters
        rate = self.settings.optimiser.rate
        rate *= self.schedule.factor(counters.step, counters.epochs, self._progress())
        end = min(counters.index + self.config.accumulate, len(self.batches))
        batches = [self.batches[index] for index in range(counters.index, end)]
        try:
            loss_sum, tokens, norm, clipped = self.updater.update(batches, rate, counters.step + 1)
        except TrainingError as error:
            raise self._non_finite_error(str(error)) from error
        counters.updated(loss_sum, tokens, norm, clipped)
        counters.learning_rate = rate
        counters.index = end
        if end == len(self.batches):
            counters.epoch, counters.index = counters.epoch + 1, 0
            self._open_epoch()
        took = time.perf_counter() - started
        self.recent.append(took)
        counters.update_seconds = max(self.recent)
        counters.busy_seconds += took
        counters.trained_seconds = self._elapsed()
        self.display.updated(counters.step, counters.epochs, self._progress(), loss_sum, tokens)

    def _evaluate(self) -> None:
        counters = self.counters
        started = time.perf_counter()
        evaluation = self._evaluation()
        counters.evaluation_seconds = time.perf_counter() - started
        loss, criterion, scores = evaluation.loss, evaluation.criterion, evaluation.figures()
        for name, value in (("loss", loss), ("criterion", criterion)):
            if not math.isfinite(value):
                raise self._non_finite_error(f"step {counters.step}: the validation {name} is {value}")
        self.metrics = counters.metrics(scores)
        self.schedule.evaluated(criterion)
        better = counters.evaluation(loss, criterion)
        if better:
            self.best = {name: tensor.clone() for name, tensor in model_tensors(self.updater.model).items()}
        self.run.append_metrics(self.metrics)
        if self.events is not None:
            self.events.add(counters.step, self.metrics)
        self.display.evaluated(counters.step, scores, better)
        since = time.perf_counter() - self.saved_time
        # Who keeps several checkpoints wants those of the evaluations, whatever the disk's speed.
        due = self.config.keep > 1 or since >= SAVE_SHARE * self.saving_seconds
        if self.config.save_every is None and due:
            self._save()

    def _evaluation(self) -> Evaluation:
        generators = pack_generators(self.updater.device)
        self.updater.model.eval()
        try:
            # Denormal numbers as in `recurra evaluate`.
            with torch.no_grad(), self.flush.suspended(), self.interrupt.breaking():
                return self.job.evaluate()
        except Interrupted:
            # The evaluation is made again after resuming, with the same random numbers.
            unpack_generators(self.updater.device, generators, "the generators before the evaluation")
            raise
        finally:
            self.updater.model.train()

    # ---------------------------------------------------------------- saving

    def _save_due(self) -> bool:
        if self.config.save_every is not None:
            return self.counters.step % self.config.save_every == 0
        return time.perf_counter() - self.saved_time >= SAVE_SECONDS

    def _save(self) -> None:
        now = (self.counters.step, self.counters.evaluated)
        if now == self.saved:
            return
        started = time.perf_counter()
        self.counters.seconds = self._elapsed()
        weights = model_tensors(self.updater.model)
        if self.config.weights == "last" or self.counters.best_step is None:
            self.run.save_best(weights)
        elif self.best is not None:
            self.run.save_best(self.best)
        self.best = None
        self.run.save_checkpoint(self.counters.step, weights, self.config.keep)
        self.run.save_resume(self.state())
        self.saved = now
        self.saved_time = time.perf_counter()
        self.saving_seconds = self.saved_time - started

    def _non_finite_error(self, what: str) -> TrainingError:
        """The error that ends a run whose numbers are no longer finite."""
        if self.config.weights == "best" and self.best is not None:
            self.run.save_best(self.best)
        return TrainingError(
            f"{what}; {self.run.path} keeps the last good state, of step {self.saved[0]}. Train again with a "
            "lower optimiser.learning_rate or training.clip_norm."
        )


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: f"{key} was {then.get(key)} and is now {now.get(key)}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    }
