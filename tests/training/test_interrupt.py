"""Ctrl-C as a wish: noted, repeated, and inside work that may be dropped."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from recurra.training.interrupt import Interrupt, Interrupted


def send(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        assert not interrupt.requested
        send(number)
        assert interrupt.requested
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            send(number)
            assert not interrupt.requested
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_the_second_signal_stops_at_once():
    with Interrupt():
        send()
        with pytest.raises(KeyboardInterrupt):
            send()


def test_a_second_hangup_is_the_same_wish():
    """The kernel sends one and the shell another."""
    with Interrupt() as interrupt:
        send(signal.SIGHUP)
        try:
            send(signal.SIGHUP)
        except KeyboardInterrupt:  # which would end the tests
            pytest.fail("the second one stopped at once")
        assert interrupt.requested
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)


def test_a_terminal_that_is_gone_is_written_to_no_more():
    """Otherwise the next line of progress would fail, and training would end before it saves."""
    master, terminal = os.openpty()
    kept = os.dup(2)
    os.dup2(terminal, 2)
    os.close(terminal)
    try:
        with Interrupt():
            os.close(master)
            with pytest.raises(OSError, match="Input/output error"):
                os.write(2, b"lost")
            send(signal.SIGHUP)
            os.write(2, b"lost")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


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
