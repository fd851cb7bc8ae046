"""What every test gets: one thread per worker, a fixed seed, and signals that arrive."""

from __future__ import annotations

import os

# Before torch and matplotlib are imported: workers share the cores, and no test opens a window.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MKL_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

import signal
from collections.abc import Iterator

import pytest
import torch


def pytest_configure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Tests draw random weights, the same ones every time and whatever ran before."""
    torch.manual_seed(20240117)


@pytest.fixture(autouse=True)
def signals_arrive() -> Iterator[None]:
    """Ctrl-C and SIGTERM act as in a program started at a terminal.

    A shell lets what it starts in the background ignore SIGINT, and processes hand that on to their children: a
    test that interrupts itself or its child would then wait in vain.
    """
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
