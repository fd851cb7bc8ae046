"""What every test gets: one thread per worker, and a fixed seed."""

from __future__ import annotations

import os

# Before torch and matplotlib are imported: workers share the cores, and no test opens a window.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["MKL_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

import pytest
import torch


def pytest_configure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Tests draw random weights, the same ones every time and whatever ran before."""
    torch.manual_seed(20240117)
