"""The operators' names, which PyTorch knows before a kernel is ever built."""

from __future__ import annotations

import subprocess
import sys

import pytest

ORDERS = ("import torch, recurra", "import recurra, torch")


@pytest.mark.parametrize("imports", ORDERS)
def test_they_are_known_as_soon_as_both_are_imported_and_nothing_else_is(imports):
    code = f"""{imports}
import sys
assert torch.ops.recurra.forward.default and torch.ops.recurra.backward.default
assert "recurra.engine.cpu.operator" not in sys.modules
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
