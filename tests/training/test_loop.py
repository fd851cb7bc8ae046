"""The loop: exact resume, limits, what an update computes, and what it does when things go wrong."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from recurra.contracts import Batch
from recurra.errors import RunError, TrainingError
from recurra.training.config import PairTrainingConfig
from recurra.training.run_directory import RunDirectory
from recurra.training.schedule import ScheduleConfig
from training.tiny import (
    ROWS,
    WINDOW,
    Setup,
    StubbornJob,
    TinyJob,
    assert_same_end,
    evaluated,
    evaluation,
    everything,
)

PLATEAU = ScheduleConfig("plateau", warmup_steps=2, factor=0.5, patience=1)
STEP = ScheduleConfig("step", warmup_steps=0, factor=0.5, every=0.5)


def setups() -> dict[str, Setup]:
    return {
        "adamw, cosine": Setup.of(steps=23, evaluate_every=4, save_every=6),
        "adam, by value": Setup.of(
            optimiser="adam", steps=17, evaluate_every=5, save_every=6, clip_value=0.01
        ),
        "sgd, step": Setup.of(STEP, "sgd", epochs=3.5, save_every=6, clip_norm=None),
        "accumulate, plateau": Setup.of(
            PLATEAU, "sgd", epochs=9, accumulate=4, save_every=6, evaluate_every=1
        ),
        "last weights": Setup.of(steps=13, evaluate_every=3, save_every=6, weights="last", keep=3),
        "bfloat16": Setup.of(steps=13, evaluate_every=3, save_every=6, precision="bfloat16"),
        "early stopping": Setup.of(
            ScheduleConfig("constant"), "sgd", steps=200, evaluate_every=2, patience=4, save_every=6
        ),
    }


def interrupt_after(job: TinyJob, calls: int) -> None:
    """Ctrl-C during the given call of `loss`."""
    loss = job.loss

    def loss_with_signal(batch, state):
        if job.calls + 1 == calls:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(batch, state)

    job.model.loss = loss_with_signal


@pytest.mark.parametrize("name", list(setups()))
def test_stop_and_resume_equals_uninterrupted_bit_for_bit(tmp_path, name):
    setup = setups()[name]
    loop = setup.training.precision == "bfloat16"
    whole = setup.train(tmp_path / "whole", TinyJob(loop=loop))
    job = TinyJob(loop=loop)
    interrupt_after(job, 2)
    result = setup.train(tmp_path / "parts", job)
    parts = 1
    while result.interrupted:
        job = TinyJob(loop=loop)
        torch.rand(parts)  # the generators are in another state when a run is resumed
        interrupt_after(job, 2 * parts + 1)
        result = setup.resume(tmp_path / "parts", job)
        parts += 1
    assert parts >= 3
    assert (result.step, result.reason, result.best_loss) == (whole.step, whole.reason, whole.best_loss)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    rates = [row["learning_rate"] for row in evaluated(tmp_path / "whole")]
    assert setup.schedule.name == "constant" or rates[-1] < max(rates)


def test_early_stopping_ends_before_the_limit_and_keeps_the_best(tmp_path):
    result = setups()["early stopping"].train(tmp_path / "run")
    losses = [row["valid_loss"] for row in evaluated(tmp_path / "run")]
    assert result.reason == "patience"
    assert result.step < 200
    assert result.best_loss == min(losses)
    assert losses.index(min(losses)) == len(losses) - 1 - 4


def test_model_safetensors_holds_the_best_weights_not_the_last(tmp_path):
    job = TinyJob()
    setup = setups()["early stopping"]
    result = setup.train(tmp_path / "run", job)
    weights = RunDirectory.open(tmp_path / "run").load_weights()
    assert not torch.equal(weights["embedding.weight"], job.model.embedding.weight)
    with torch.no_grad():
        for name, tensor in job.model.named_parameters():
            tensor.copy_(weights[name])
        job.model.eval()
        assert job.evaluate().loss == result.best_loss


class AimingJob(TinyJob):
    """The loss falls all the time, the criterion until the loss passes 1.5."""

    def evaluate(self):
        loss = super().evaluate().loss
        return evaluation(loss, abs(loss - 1.5))


@pytest.mark.parametrize("schedule", [ScheduleConfig("constant"), PLATEAU])
def test_the_criterion_decides_and_survives_resuming(tmp_path, capsys, schedule):
    setup = Setup.of(schedule, "sgd", steps=60, evaluate_every=2, save_every=2, patience=3)
    whole = setup.train(tmp_path / "whole", AimingJob())
    rows = evaluated(tmp_path / "whole")
    losses = [row["valid_loss"] for row in rows]
    best = min(range(len(losses)), key=lambda index: abs(losses[index] - 1.5))
    assert 0 < best < losses.index(min(losses))
    assert (whole.reason, len(losses)) == ("patience", best + 1 + 3)
    assert (whole.best_step, whole.best_loss) == (rows[best]["step"], losses[best])
    assert (rows[-1]["learning_rate"] < rows[best]["learning_rate"]) == (schedule is PLATEAU)
    assert not any("criterion" in key for row in rows for key in row)
    assert "criterion" not in capsys.readouterr().err

    job = AimingJob()
    interrupt_after(job, rows[best]["step"] + 3)  # between the best evaluation and the end
    assert setup.train(tmp_path / "parts", job).interrupted
    resumed = setup.resume(tmp_path / "parts", AimingJob())
    for name in ("step", "reason", "best_step", "best_loss"):
        assert getattr(resumed, name) == getattr(whole, name)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_a_criterion_that_is_no_number_stops(tmp_path):
    class NanJob(TinyJob):
        def evaluate(self):
            return evaluation(1.0, math.nan)

    with pytest.raises(TrainingError, match=r"^step 5: the validation criterion is nan"):
        Setup.of(steps=50).train(tmp_path / "run", NanJob())


class PairJob(TinyJob):
    """Batches of pairs, and no state to carry."""

    def batches(self, epoch):
        return [
            Batch(b.inputs, b.targets, b.tokens, torch.full((ROWS,), WINDOW), torch.full((ROWS,), WINDOW))
            for b in super().batches(epoch)
        ]

    def loss(self, batch, state):
        assert state is None
        loss, tokens, _ = super().loss(Batch(batch.inputs, batch.targets, batch.tokens), None)
        return loss, tokens, None

    def evaluate(self):
        return evaluation(1.0)


def test_batches_of_pairs_and_their_own_size(tmp_path):
    setup = Setup(PairTrainingConfig(steps=4, batch_tokens=30))
    result = setup.train(tmp_path / "run", PairJob())
    assert (result.step, result.tokens) == (4, 4 * ROWS * WINDOW)
    values = RunDirectory.open(tmp_path / "run").load_resume().values["settings"]
    assert values["training.batch_tokens"] == 30
    assert not {"training.batch_size", "training.bptt"} & set(values)
    with pytest.raises(RunError, match=r"training\.batch_tokens was 30 and is now 20"):
        Setup(PairTrainingConfig(steps=9, batch_tokens=20)).resume(tmp_path / "run", PairJob())


def test_each_epoch_has_the_batches_of_its_number(tmp_path):
    class CountingJob(TinyJob):
        def batches(self, epoch):
            if epoch < 10**6:  # those of its evaluations
                self.epochs = [*getattr(self, "epochs", []), epoch]
            return super().batches(epoch)

    job = CountingJob()
    Setup.of(epochs=2.5).train(tmp_path / "run", job)
    assert job.epochs == [0, 1, 2]
    job = CountingJob()
    Setup.of(epochs=3.5).resume(tmp_path / "run", job)
    assert job.epochs == [2, 3]


def test_an_evaluation_that_equals_the_best_is_no_better(tmp_path):
    class LevelJob(TinyJob):
        def evaluate(self):
            return evaluation(1.25)

    result = Setup.of(steps=50, evaluate_every=2, patience=3).train(tmp_path / "run", LevelJob())
    assert (result.reason, result.step, result.best_step, result.best_loss) == ("patience", 8, 2, 1.25)


def test_metrics_line_tells_the_truth(tmp_path):
    result = Setup.of(epochs=2, evaluate_every=6, clip_norm=1e-3).train(tmp_path / "run")
    first, last = evaluated(tmp_path / "run")
    assert (first["step"], first["epoch"], first["tokens"]) == (6, 1.0, 6 * ROWS * WINDOW)
    assert (last["step"], last["epoch"], last["tokens"]) == (12, 2.0, 12 * ROWS * WINDOW)
    assert first["clip_rate"] == 1.0
    assert 0.0 < last["gradient_norm"] < math.inf
    assert 0.0 < last["valid_loss"] < 3.0
    assert last["valid_perplexity"] > 1.0
    assert 0.0 < last["train_loss"] < 3.0
    assert 0.0 < first["seconds"] < last["seconds"]
    assert last == result.metrics


def test_fraction_of_an_epoch(tmp_path):
    result = Setup.of(epochs=1.5).train(tmp_path / "run")
    assert (result.step, result.epoch, result.reason) == (9, 1.5, "epochs")


def test_last_update_ends_within_the_minutes_and_evaluations_count(tmp_path):
    class SlowJob(TinyJob):
        def evaluate(self):
            time.sleep(0.15)
            return super().evaluate()

    setup = Setup.of(ScheduleConfig("linear", warmup_steps=0), minutes=1.0 / 60, evaluate_every=10)
    job = SlowJob(pause=0.01)
    started = time.perf_counter()
    result = setup.train(tmp_path / "run", job)
    took = time.perf_counter() - started
    rows = evaluated(tmp_path / "run")
    assert result.reason == "minutes"
    assert 0.5 < result.seconds <= 1.0
    assert took < 2.0
    assert len(rows) >= 2
    assert rows[-1]["step"] == result.step
    assert rows[-1]["learning_rate"] < 0.6 * 2e-3  # linear in elapsed time, not in epochs or steps
    assert result.step < 1.0 / 0.01 - 10  # the evaluations took their share


def test_time_limited_run_carries_its_elapsed_time(tmp_path):
    setup = Setup.of(minutes=0.8 / 60, evaluate_every=1000)
    job = TinyJob(pause=0.01)
    interrupt_after(job, 25)
    first = setup.train(tmp_path / "run", job)
    assert first.interrupted
    started = time.perf_counter()
    second = setup.resume(tmp_path / "run", TinyJob(pause=0.01))
    assert time.perf_counter() - started < 0.8 - first.seconds + 0.25
    assert second.reason == "minutes"
    assert first.seconds < second.seconds <= 0.8
    again = setup.resume(tmp_path / "run", TinyJob(pause=0.01))
    assert again.step == second.step


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    setup = Setup.of(steps=7)
    first = setup.train(tmp_path / "run")

    def times() -> dict[Path, int]:
        files = [path for path in (tmp_path / "run").rglob("*") if path.is_file() and path.name != ".lock"]
        return {path: path.stat().st_mtime_ns for path in files}

    before = times()
    second = setup.resume(tmp_path / "run")
    assert dataclasses.replace(first, metrics={}) == dataclasses.replace(second, metrics={})
    assert before == times()


def test_extending_a_run_is_noted_and_goes_on(tmp_path, capsys):
    Setup.of(steps=7).train(tmp_path / "run")
    result = Setup.of(ScheduleConfig("linear", warmup_steps=3), steps=9, clip_norm=0.5).resume(
        tmp_path / "run"
    )
    assert result.step == 9
    notes = capsys.readouterr().err
    assert "training.steps was 7 and is now 9" in notes
    assert "training.clip_norm was 1.0 and is now 0.5" in notes
    assert "schedule.name was cosine and is now linear" in notes


def test_a_changed_run_records_it_and_goes_on_with_it(tmp_path):
    Setup.of(steps=7).train(tmp_path / "run")
    job = TinyJob()
    interrupt_after(job, 2)
    longer = Setup.of(steps=12, clip_norm=0.5)
    assert longer.resume(tmp_path / "run", job).interrupted
    assert (tmp_path / "run" / "changes.jsonl").read_text() == (
        '{"step": 7, "changes": {"training.clip_norm": [1.0, 0.5], "training.steps": [7, 12]}}\n'
    )
    result = longer.resume(tmp_path / "run")
    assert (result.step, result.reason) == (12, "steps")
    assert (tmp_path / "run" / "changes.jsonl").read_text().count("\n") == 1
    lines = [row["step"] for row in RunDirectory.open(tmp_path / "run").metrics() if "valid_loss" not in row]
    assert lines == list(range(1, 13))  # the shares of a longer run go on where those of the shorter one were


@pytest.mark.parametrize(
    ("then", "now", "says"),
    [
        (
            {"steps": 7},
            {"steps": 7, "clip_norm": 0.5},
            r"has reached its limit, training\.steps, so the changes",
        ),
        (
            {"steps": 7},
            {"steps": 3},
            r"--training\.steps N, or another kind of limit, such as --training\.minutes",
        ),
        (
            {"steps": 7},
            {"minutes": 1e-9},
            r"training\.minutes, .* trained for 0\.0 minutes so far, which count",
        ),
    ],
)
def test_changes_that_leave_nothing_to_train_are_refused(tmp_path, then, now, says):
    Setup.of(**then).train(tmp_path / "run")

    def files() -> dict[Path, bytes]:
        paths = [path for path in (tmp_path / "run").rglob("*") if path.is_file() and path.name != ".lock"]
        return {path: path.read_bytes() for path in paths}

    before = files()
    with pytest.raises(RunError, match=says):
        Setup.of(**now).resume(tmp_path / "run")
    assert before == files()


class RisingJob(TinyJob):
    """The first evaluation is the best, by whatever is added to all."""

    def __init__(self, more: float = 0.0) -> None:
        super().__init__()
        self.more = more

    def evaluate(self):
        return evaluation(self.more - super().evaluate().loss)


def test_the_best_weights_are_judged_again_where_judging_has_changed(tmp_path):
    def setup(steps, judged):
        return dataclasses.replace(
            Setup.of(steps=steps, evaluate_every=2), evaluation={"evaluation.by": judged}
        )

    for name in ("same", "changed"):
        first = setup(6, "a").train(tmp_path / name, RisingJob())
    assert first.best_step == 2
    setup(9, "a").resume(tmp_path / "same", RisingJob())
    result = setup(9, "b").resume(tmp_path / "changed", RisingJob(10.0))
    assert (result.best_step, result.best_loss) == (2, pytest.approx(first.best_loss + 10.0))
    left, right = everything(tmp_path / "same"), everything(tmp_path / "changed")
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_evaluations_leave_no_trace_in_training(tmp_path):
    """Those of `TinyJob` draw random numbers, and its model has dropout."""
    often = TinyJob()
    Setup.of(steps=9, evaluate_every=1).train(tmp_path / "often", often)
    never = TinyJob()
    Setup.of(steps=9, evaluate_every=9).train(tmp_path / "never", never)
    for name, tensor in often.model.state_dict().items():
        assert torch.equal(tensor, never.model.state_dict()[name]), name


def test_the_loss_before_the_first_update_is_no_evaluation_to_compare_with(tmp_path):
    class GrowingJob(TinyJob):
        def evaluate(self):
            return evaluation(9.0)

    result = Setup.of(steps=3, evaluate_every=3).train(tmp_path / "run", GrowingJob())
    start, *_ = RunDirectory.open(tmp_path / "run").metrics()
    assert (start["step"], start["valid_loss"]) == (0, math.log(7))
    assert (result.best_step, result.best_loss, result.best_metrics["valid_loss"]) == (3, 9.0, 9.0)


def test_a_position_past_the_epoch_is_refused(tmp_path):
    class ShortJob(TinyJob):
        def batches(self, epoch):
            return super().batches(epoch)[:3]

    Setup.of(steps=5).train(tmp_path / "run")
    with pytest.raises(RunError, match=r"at batch 5 of an epoch of 3; damaged"):
        Setup.of(steps=9).resume(tmp_path / "run", ShortJob())


def test_threads_are_set_for_the_run_and_a_change_is_noted(tmp_path, capsys):
    before = torch.get_num_threads()
    Setup.of(steps=2, threads=1).train(tmp_path / "run")
    assert torch.get_num_threads() == before
    assert capsys.readouterr().err.count("note:") == 0
    Setup.of(steps=3, threads=2).resume(tmp_path / "run")
    assert "threads was 1 and is now 2" in capsys.readouterr().err


def test_interrupt_before_the_first_evaluation_leaves_the_present_weights(tmp_path):
    job = TinyJob()
    interrupt_after(job, 3)
    result = Setup.of(steps=50).train(tmp_path / "run", job)
    assert (result.interrupted, result.step, result.best_loss) == (True, 3, None)
    run = RunDirectory.open(tmp_path / "run")
    assert torch.equal(run.load_weights()["embedding.weight"], job.model.embedding.weight)
    assert run.load_resume().step == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_during_an_evaluation_makes_it_again(tmp_path):
    class StoppedJob(TinyJob):
        def evaluate(self):
            torch.rand(5)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5.0)
            raise AssertionError("a signal stops an evaluation at once")

    setup = Setup.of(steps=11, evaluate_every=4)
    setup.train(tmp_path / "whole")
    result = setup.train(tmp_path / "parts", StoppedJob())
    assert (result.interrupted, result.step) == (True, 4)
    setup.resume(tmp_path / "parts")
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_second_interrupt_stops_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Setup.of(steps=11).train(tmp_path / "run", StubbornJob())
    assert RunDirectory.open(tmp_path / "run").load_resume().step == 0


def test_training_outside_the_main_thread(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(Setup.of(steps=3).train(tmp_path / "run")))
    thread.start()
    thread.join()
    assert results[0].step == 3


def test_nan_loss_stops_and_keeps_the_last_good_state(tmp_path):
    job = TinyJob(spoil_at=8)
    with pytest.raises(
        TrainingError, match=r"^step 8: the loss is nan; .*of step 6\..*learning_rate"
    ) as caught:
        Setup.of(steps=50, evaluate_every=6).train(tmp_path / "run", job)
    assert "\n" not in str(caught.value)
    run = RunDirectory.open(tmp_path / "run")
    state = run.load_resume()
    assert state.step == 6
    assert all(tensor.isfinite().all() for tensor in state.tensors.values() if tensor.is_floating_point())
    assert all(tensor.isfinite().all() for tensor in run.load_weights().values())
    assert all(parameter.isfinite().all() for parameter in job.model.parameters())


def test_nan_evaluation_stops(tmp_path):
    class NanJob(TinyJob):
        def evaluate(self):
            return evaluation(math.nan)

    with pytest.raises(TrainingError, match=r"^step 5: the validation loss is nan; .*step 0"):
        Setup.of(steps=50).train(tmp_path / "run", NanJob())


def test_infinite_score_is_null_in_the_metrics(tmp_path):
    class InfiniteJob(TinyJob):
        def evaluate(self):
            return evaluation(super().evaluate().loss, perplexity=math.inf)

    Setup.of(steps=2).train(tmp_path / "run", InfiniteJob())
    assert evaluated(tmp_path / "run")[0]["valid_perplexity"] is None


@pytest.mark.parametrize(
    ("now", "expected"),
    [({"data.train": "other"}, "data.train .*digest abc.* then, other now"), ({}, "none now")],
)
def test_changed_fingerprint_is_refused(tmp_path, now, expected):
    setup = dataclasses.replace(Setup.of(steps=4), fingerprint={"data.train": "abcdef"})
    setup.train(tmp_path / "run")
    with pytest.raises(RunError, match=expected):
        dataclasses.replace(Setup.of(steps=9), fingerprint=now).resume(tmp_path / "run")


@pytest.mark.parametrize(
    ("then", "now", "message"),
    [
        ({"batch_size": 32}, {"batch_size": 8}, r"training\.batch_size was 32 and is now 8"),
        ({"bptt": 64}, {"bptt": 32}, r"training\.bptt was 64 and is now 32"),
        ({"accumulate": 1}, {"accumulate": 2}, r"training\.accumulate was 1 and is now 2"),
        ({"optimiser": "adamw"}, {"optimiser": "adam"}, r"optimiser\.name was adamw and is now adam"),
    ],
)
def test_what_a_run_keeps_is_not_changed(tmp_path, then, now, message):
    """Its position in an epoch counts batches of one size, and its optimiser's state is of one kind."""
    Setup.of(steps=4, **then).train(tmp_path / "run")
    with pytest.raises(RunError, match=message + "; a run keeps it"):
        Setup.of(steps=9, **now).resume(tmp_path / "run")
    assert RunDirectory.open(tmp_path / "run").load_resume().step == 4


def test_fit_without_resume_refuses_a_trained_run(tmp_path):
    setup = Setup.of(steps=4)
    setup.train(tmp_path / "run")
    with pytest.raises(RunError, match="trained for 4 steps already"):
        setup.fit(RunDirectory.open(tmp_path / "run"), TinyJob())


def test_no_batches_is_an_error_not_a_loop(tmp_path):
    class EmptyJob(TinyJob):
        def batches(self, epoch):
            return []

    with pytest.raises(TrainingError, match="no batch"):
        Setup.of(steps=4).train(tmp_path / "run", EmptyJob())


def test_progress_is_lines_on_stderr_and_nothing_on_stdout(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("recurra.training.display.LINE_SECONDS", 0.0)
    Setup.of(steps=7).train(tmp_path / "run")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 3  epoch 0.50  loss " in captured.err
    assert "tokens/s" in captured.err
    assert " left" in captured.err
    assert "step 6  validation: loss " in captured.err


def test_progress_bar_on_a_terminal(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("recurra.training.display.BAR_SECONDS", 0.0)
    Setup.of(steps=7).train(tmp_path / "run")
    shown = sys.stderr.getvalue()
    assert "57% step 4  epoch 0.67  loss " in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "step 6  validation: loss " in shown


def test_tensorboard_writes_event_files(tmp_path):
    pytest.importorskip("tensorboard")
    Setup.of(steps=3, tensorboard=True).train(tmp_path / "run")
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
