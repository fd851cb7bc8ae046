"""Ctrl-C as a wish: noted, repeated, and inside work that may be dropped."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from recurra.training.interrupt import Interrupt, Interrupted


def send(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert not interrupt.requested
        send(number)
        assert interrupt.requested
    assert signal.getsignal(number) is before


def test_the_second_signal_stops_at_once():
    with Interrupt():
        send()
        with pytest.raises(KeyboardInterrupt):
            send()


def test_work_that_may_be_dropped_is_dropped():
    with Interrupt() as interrupt:
        with pytest.raises(Interrupted), interrupt.breaking():
            send()
        with pytest.raises(Interrupted), interrupt.breaking():
            raise AssertionError("it was requested already")


def test_outside_the_main_thread_it_does_nothing():
    before = signal.getsignal(signal.SIGINT)

    def enter() -> None:
        with Interrupt():
            assert signal.getsignal(signal.SIGINT) is before

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
