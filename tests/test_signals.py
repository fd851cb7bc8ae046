"""The tests of signals pass wherever the tests are started."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from commands import environment

TESTS = Path(__file__).parent
ONE_OF_THEM = "training/test_loop.py::test_interrupt_before_the_first_evaluation_leaves_the_present_weights"


def test_where_ctrl_c_is_ignored(monkeypatch):
    """As in the background of a shell: what ignores a signal lets its children ignore it."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until the end of the test
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(TESTS / ONE_OF_THEM)],
        cwd=TESTS.parent, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
