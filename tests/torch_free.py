"""Runs code in a fresh interpreter that must not import PyTorch."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import commands


def run_torch_free(code: str) -> None:
    """Run `code`; fail where it raises, or where PyTorch is imported after it."""
    check = 'import sys\nassert "torch" not in sys.modules, "torch is imported"\n'
    done = subprocess.run(
        [sys.executable, "-c", f"{dedent(code)}\n{check}"],
        capture_output=True,
        text=True,
        env=commands.environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
