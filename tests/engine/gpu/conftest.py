"""Triton's interpreter, in a process of its own: it has to be asked for before Triton is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cases

SCRIPT = Path(__file__).parent / "interpreted.py"
TESTS = Path(cases.__file__).parent


@pytest.fixture(scope="session")
def run_interpreted() -> Callable[[str], Any]:
    """What `interpreted.py` prints when it is given the name of a part."""

    def run(part: str) -> Any:
        path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(SCRIPT), part], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
