"""Denormal numbers are 0 in updates, in each of torch's threads, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest
import torch

from recurra.errors import TrainingError
from recurra.training import denormals, loop
from recurra.training.denormals import FlushDenormals, is_flushing
from recurra.training.run_directory import RunDirectory
from thread_modes import can_flush, flushing, threads
from training.tiny import Setup, StubbornJob, TinyJob, assert_same_end, everything

pytestmark = pytest.mark.skipif(not can_flush(), reason="this processor does not flush denormal numbers")

OFF, ON = [False, False], [True, True]


@pytest.fixture(autouse=True)
def two_threads():
    """Two threads, which are there already, and nobody's mode left on."""
    with threads(2):
        assert flushing() == OFF
        yield
        torch.set_num_threads(2)
        assert flushing() == OFF


def test_every_thread_has_the_mode_and_gets_its_own_back():
    with FlushDenormals() as flush:
        assert is_flushing()
        assert flushing() == ON
        with flush.suspended():
            assert not is_flushing()
            assert flushing() == OFF
        assert flushing() == ON
    assert flushing() == OFF
    with flush:
        assert flushing() == ON


def test_what_the_user_has_set_stays():
    """In the calling thread alone, as `torch.set_flush_denormal` does."""
    torch.set_flush_denormal(True)
    try:
        with FlushDenormals() as flush:
            assert flushing() == ON
            with flush.suspended():
                assert flushing() == [True, False]
        assert flushing() == [True, False]
    finally:
        torch.set_flush_denormal(False)


def test_more_threads_than_one_number_has_been_seen_for():
    """Threads that start inside have the mode, and so has each of those that were asked to stop and come back."""
    with threads(1), FlushDenormals():
        assert flushing() == [True]
    with threads(3), FlushDenormals():
        assert flushing() == [True] * 3
    assert flushing() == OFF


def test_one_thread_where_they_are_not_openmp_s(monkeypatch):
    monkeypatch.setattr(denormals, "can_split", lambda threads: False)
    with FlushDenormals():
        assert flushing() == [True, False]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_gives_the_modes_back(error):
    def fails() -> None:
        with FlushDenormals() as flush:
            with contextlib.suppress(LookupError), flush.suspended():
                raise LookupError
            assert flushing() == ON
            raise error

    with pytest.raises(error):
        fails()
    assert flushing() == OFF


class WatchingJob(TinyJob):
    """Notes the modes in every update and evaluation, and in backward passes."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.seen: dict[str, list[list[bool]]] = {"loss": [], "backward": [], "evaluate": []}

    def loss(self, batch, state):
        self.seen["loss"].append(flushing())
        loss, tokens, state = super().loss(batch, state)
        loss.register_hook(lambda _: self.seen["backward"].append(flushing()))
        return loss, tokens, state

    def evaluate(self):
        self.seen["evaluate"].append(flushing())
        return super().evaluate()


@pytest.mark.parametrize("own_threads", [None, 3])
def test_updates_have_the_mode_and_evaluations_have_not(tmp_path, own_threads):
    job = WatchingJob()
    Setup.of(steps=3, evaluate_every=2, threads=own_threads).train(tmp_path / "run", job)
    number = own_threads or 2
    assert job.seen["loss"] == job.seen["backward"] == [[True] * number] * 3
    assert job.seen["evaluate"] == [[False] * number] * 2
    assert flushing() == OFF


def test_an_evaluation_has_what_the_user_has_set(tmp_path):
    torch.set_flush_denormal(True)
    try:
        job = WatchingJob()
        Setup.of(steps=2, evaluate_every=2).train(tmp_path / "run", job)
        assert job.seen["evaluate"] == [[True, False]]
    finally:
        torch.set_flush_denormal(False)


def test_training_that_fails_gives_the_modes_back(tmp_path):
    with pytest.raises(TrainingError, match="the loss is nan"):
        Setup.of(steps=9).train(tmp_path / "nan", TinyJob(spoil_at=2))
    assert flushing() == OFF

    class FailingJob(TinyJob):
        def evaluate(self):
            raise LookupError

    with pytest.raises(LookupError):
        Setup.of(steps=2).train(tmp_path / "failing", FailingJob())
    assert flushing() == OFF

    with pytest.raises(KeyboardInterrupt):
        Setup.of(steps=9).train(tmp_path / "stopped", StubbornJob())
    assert flushing() == OFF


class SaturatedJob(TinyJob):
    """Its gradients are denormal numbers, and those near to them. Stops after the given call of `loss`."""

    def __init__(self, stop_at: int | None = None, **options) -> None:
        super().__init__(**options)
        self.stop_at = stop_at

    def loss(self, batch, state):
        loss, tokens, state = super().loss(batch, state)
        if self.calls == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return loss * 1e-35, tokens, state


def denormal_numbers(tensors) -> int:
    floating = [tensor for tensor in tensors if tensor.is_floating_point()]
    return sum(int(((one != 0) & (one.abs() < torch.finfo(one.dtype).tiny)).sum()) for one in floating)


def test_saturated_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, monkeypatch):
    torch.set_num_threads(1)  # faster; the fixture puts the number back
    setup = Setup.of(steps=14, evaluate_every=4, save_every=3, clip_norm=None)
    setup.train(tmp_path / "whole", SaturatedJob())
    tensors = everything(tmp_path / "whole")
    moments = [one for name, one in tensors.items() if name.endswith("|exp_avg")]
    assert any((one != 0).any() for one in moments)
    assert denormal_numbers(moments) == 0

    result = setup.train(tmp_path / "parts", SaturatedJob(stop_at=5))
    assert (result.interrupted, result.step) == (True, 5)
    assert setup.resume(tmp_path / "parts", SaturatedJob(stop_at=4)).step == 9
    assert setup.resume(tmp_path / "parts", SaturatedJob()).step == 14
    assert_same_end(tmp_path / "whole", tmp_path / "parts")

    monkeypatch.setattr(loop, "FlushDenormals", Nothing)
    setup.train(tmp_path / "kept", SaturatedJob())
    moments = [one for name, one in everything(tmp_path / "kept").items() if name.endswith("|exp_avg")]
    assert denormal_numbers(moments) > 0


class Nothing(contextlib.nullcontext):
    def suspended(self):
        return self


def test_the_run_directory_is_whole(tmp_path):
    """What is saved inside the mode is what was computed, bit for bit, denormal numbers included."""
    torch.set_num_threads(1)
    job = TinyJob()
    with torch.no_grad():
        job.model.embedding.weight[0] = 1e-40
        job.model.embedding.weight.requires_grad_(False)
    Setup.of(steps=2).train(tmp_path / "run", job)
    weights = RunDirectory.open(tmp_path / "run").load_weights()["embedding.weight"]
    assert torch.equal(weights.view(torch.int32), job.model.embedding.weight.view(torch.int32))
    assert denormal_numbers([weights]) == weights.shape[1]
