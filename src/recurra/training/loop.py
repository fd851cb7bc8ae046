"""The training loop: truncated back-propagation through time over a job's batches, with exact resume.

A job is what a task makes of its files and its model. The loop knows batches, losses and evaluations; it does not
know text. In the order in which `Loop` does it:

1. `create` a run with the state at step 0 and measure the loss that it starts from, or `restore` one from its last
   complete state;
2. until a limit of the run is reached: evaluate where an evaluation is due, save where a save is due, and update the
   weights on the next `training.accumulate` batches, the recurrent state carried from each to the next; about a
   hundred times in all, write down how training goes;
3. evaluate and save once more.

Between two updates the whole of its state is in `Loop.state`, so that a run killed at any moment continues bit for bit
from its last save.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from recurra.contracts import Batch
from recurra.durable import finite
from recurra.errors import RunError, TrainingError
from recurra.metrics.evaluation import OUTPUTS
from recurra.metrics.records import evaluations
from recurra.training import overview
from recurra.training.changes import Change, check_kept, differences, nothing_left, record_changes
from recurra.training.counters import Counters
from recurra.training.denormals import FlushDenormals
from recurra.training.display import Display, EventFiles, check_tensorboard
from recurra.training.interrupt import Interrupt, Interrupted
from recurra.training.job import Job, Settings
from recurra.training.judge import Judge
from recurra.training.metrics_file import check_row
from recurra.training.result import Result
from recurra.training.resume import (
    FORMAT,
    check_fingerprint,
    current_values,
    model_tensors,
)
from recurra.training.run_directory import ResumeState, RunDirectory
from recurra.training.schedule import Schedule
from recurra.training.update import Updater

SAVE_SECONDS = 300.0  # the longest time between two saves, unless `save_every` says otherwise
SAVE_SHARE = 20.0  # an evaluation saves where the last save took less than 1/20 of the time since
VALUES = ("counters", "schedule", "settings", "fingerprint", "environment", "metrics")


def fit(
    job: Job,
    settings: Settings,
    run: RunDirectory | Callable[[ResumeState], RunDirectory],
    resume: bool = False,
    rows: Sequence[overview.Row] = (),
) -> Result:
    """Train until a limit: a new run from step 0, or a run from its last complete state.

    The model ends with the last weights; those that `training.weights` asks for are `run.load_weights()`.
    The run is locked: no other call writes into it until this one ends.
    Denormal numbers are flushed to 0 in updates (see `denormals`), but not in evaluations, nor after the call.

    Args:
        job: the same as when the run was created, up to its weights. Seed torch with `training.seed` before building
            the model: its generators continue from where they are.
        settings: those of the run; a change is reported on stderr and recorded in the run.
        run: where everything is saved; or the function that makes a new run of the state at step 0, called once
            the job has shown that it has batches.
        resume: the run may have been trained before.
        rows: what to report of data, model and machine before the first update.

    Returns:
        What the run came to, after an interruption as well.

    Raises:
        RunError: the resume state is damaged, or data, program or what a run keeps have changed; settings have
            changed and there is nothing left to train; the run was trained before and `resume` is false; or somebody
            else writes into it.
        TrainingError: there are no batches, the loss is not finite, or saving failed; the last complete state stays.
    """
    threads = torch.get_num_threads()
    if settings.training.threads is not None:
        torch.set_num_threads(settings.training.threads)
    loop = Loop(job, settings)
    try:
        if isinstance(run, RunDirectory):
            run.lock()
            loop.restore(run, resume)
        else:
            loop.create(run)
        with loop.flush:
            return loop.train(rows)
    finally:
        loop.unlock()
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
        self.changed: dict[str, Change] = {}  # settings, since the state was saved
        self.interrupt = Interrupt()
        self.flush = FlushDenormals()
        self.judge = Judge(job, self.updater, self.flush, self.interrupt)

    @property
    def run(self) -> RunDirectory:
        """Where everything is saved."""
        assert self._run is not None, "`create` or `restore` comes first"
        return self._run

    def unlock(self) -> None:
        """Let others write into the run, if there is one yet."""
        if self._run is not None:
            self._run.unlock()

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
        check_row(values["metrics"], f"{source}: values.json: metrics")
        self.metrics = values["metrics"]
        self.updater.unpack(state.tensors, source)
        self.recent.append(self.counters.update_seconds)
        self.saved = (state.step, self.counters.evaluated)
        self.counters.resumed(self.config)
        self.changed = differences(values["settings"], self.settings.values())
        check_kept(self.changed, self.settings.fixed(), run.path)
        reason = self.counters.limit_reached(self.config, self.counters.seconds)
        if self.changed and reason is not None:
            raise nothing_left(run.path, reason, self.counters.seconds / 60.0)
        facts = differences(values["environment"], self.settings.facts(self.updater.device))
        self.notes = [
            f"note: {key} {change}; the run continues, but not bit for bit."
            for key, change in {**self.changed, **facts}.items()
        ]
        run.save_config()
        if self.changed:
            record_changes(run, state.step, self.changed)

    # ---------------------------------------------------------------- the run

    def train(self, rows: Sequence[overview.Row] = ()) -> Result:
        """Updates, evaluations and saves, until a limit or an interruption; `rows` are reported before."""
        self.began = self.saved_time = time.perf_counter()
        self.seconds_before = self.counters.seconds
        if not self.batches:
            self._open_epoch()
        if self.counters.index >= len(self.batches):
            raise RunError(
                f"{self.run.path}: its state is at batch {self.counters.index} of an epoch of {len(self.batches)}; "
                "damaged."
            )
        overview.show([*rows, overview.limit(self.config, self.counters)])
        self.display = Display(self._progress(), self.config.seed)
        self.events: EventFiles | None = None
        if self.config.tensorboard:
            self.events = EventFiles(
                str(self.run.path / "tensorboard"), self.counters.step, self.display.note
            )
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
            best_metrics=self._best_metrics(),
        )

    def _run_to_the_end(self) -> str:
        try:
            if self.changed:
                self._take_up_changes()
            if self.counters.step == 0:
                self._measure_start()
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
        counters.learning_rate = rate
        counters.index = end
        if end == len(self.batches):
            counters.epoch, counters.index = counters.epoch + 1, 0
            self._open_epoch()
        took = time.perf_counter() - started
        counters.updated(loss_sum, tokens, norm, clipped, took)
        self.recent.append(took)
        counters.update_seconds = max(self.recent)
        counters.trained_seconds = self._elapsed()
        progress = counters.progress(self.config, counters.trained_seconds)
        if counters.line_due(progress):
            self._write(counters.training_metrics(progress))
        self.display.updated(counters.step, counters.epochs, progress, loss_sum, tokens)

    def _write(self, line: Mapping[str, Any]) -> None:
        self.run.append_metrics(line)
        if self.events is not None:
            self.events.add(self.counters.step, line)

    # ---------------------------------------------------------------- evaluation

    def _measure_start(self) -> None:
        """The loss before the first update, which no later evaluation is compared with."""
        started = time.perf_counter()
        start = self.judge.starting_loss()
        took = time.perf_counter() - started
        counters = self.counters
        counters.evaluation_tokens = start.tokens_in_all
        counters.evaluation_seconds = took * start.tokens_in_all / max(start.tokens, 1)
        self._write(finite({"step": 0, "epoch": 0.0, "tokens": 0, "seconds": 0.0, "valid_loss": start.loss}))
        self.display.note(f"step 0  validation: loss {start.loss:.4g} (of {start.tokens:,} tokens)")

    def _evaluate(self) -> None:
        counters = self.counters
        started = time.perf_counter()
        evaluation = self.judge.evaluate()
        counters.evaluation_seconds = time.perf_counter() - started
        counters.evaluating_seconds += counters.evaluation_seconds
        counters.evaluation_tokens = evaluation.tokens
        loss, criterion, scores = evaluation.loss, evaluation.criterion, evaluation.figures()
        for name, value in (("loss", loss), ("criterion", criterion)):
            if not math.isfinite(value):
                raise self._non_finite_error(f"step {counters.step}: the validation {name} is {value}")
        self.metrics = counters.metrics(scores)
        self.schedule.evaluated(criterion)
        better = counters.evaluation(loss, criterion, self._progress())
        if better:
            self.best = {name: tensor.clone() for name, tensor in model_tensors(self.updater.model).items()}
        self._write(self.metrics)
        self.display.evaluated(counters.step, scores, better)
        self.display.outputs(evaluation.tables.get(OUTPUTS))
        note = self.judge.note(self.config, counters, self._elapsed())
        if note:
            self.display.note(note)
        since = time.perf_counter() - self.saved_time
        # Who keeps several checkpoints wants those of the evaluations, whatever the disk's speed.
        due = self.config.keep > 1 or since >= SAVE_SHARE * self.saving_seconds
        if self.config.save_every is None and due:
            self._save()

    def _best_metrics(self) -> dict[str, Any]:
        """The line of the best evaluation, which may be long ago."""
        if self.counters.best_step == self.metrics.get("step"):
            return self.metrics
        rows = [row for row in evaluations(self.run.metrics()) if row.get("step") == self.counters.best_step]
        return dict(rows[-1]) if rows else {}

    def _take_up_changes(self) -> None:
        """Settings have changed: what was the best is judged by those of now, and all is saved under them."""
        counters = self.counters
        if counters.best_step is not None and self.settings.evaluation.keys() & self.changed.keys():
            best = None if self.config.weights == "last" else self.run.load_weights()
            judged = self.judge.evaluate(best)
            counters.best_loss, counters.best_criterion = judged.loss, judged.criterion
            counters.evaluations_since_best = 0
            self.schedule.judged_anew(judged.criterion)
        self._save(always=True)

    # ---------------------------------------------------------------- saving

    def _save_due(self) -> bool:
        if self.config.save_every is not None:
            return self.counters.step % self.config.save_every == 0
        return time.perf_counter() - self.saved_time >= SAVE_SECONDS

    def _save(self, always: bool = False) -> None:
        now = (self.counters.step, self.counters.evaluated)
        if now == self.saved and not always:
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
