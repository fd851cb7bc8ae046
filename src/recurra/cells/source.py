"""Which line of a user's source an error is about."""

from __future__ import annotations

import dis
import linecache
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import torch

_TORCH = str(Path(torch.__file__).parent) + os.sep


def running_line(under: CodeType, step: Callable[..., Any], name: str) -> str:
    """The innermost line of the user's that runs under a function of recurra.

    Args:
        under: the code of that function; what else runs from its file is passed over, as is torch.
        step: the function that it runs; `name` is how the line says it.

    Returns:
        "FILE, line N, in NAME: `text`", less the text where no source is to be had; `name` if nothing of the
        user's runs.
    """
    frame = sys._getframe(1)
    while frame.f_code is not under and frame.f_back is not None:
        code = frame.f_code
        passed = code.co_filename in (__file__, under.co_filename) or code.co_filename.startswith(_TORCH)
        if not passed:
            same = code is _code(step) or code.co_name.startswith("<")  # lambdas and generators in it
            within = name if same else f"{code.co_name}, which {name} calls"
            return _quoted(code.co_filename, frame.f_lineno, within, frame.f_globals)
        frame = frame.f_back
    return name


def returning_line(step: Callable[..., Any], name: str) -> str:
    """The line on which `step` returns or, where it may do so on several, the one on which it begins."""
    code = _code(step)
    if code is None:
        return name
    returns = {
        each.positions.lineno
        for each in dis.get_instructions(code)
        if each.opname.startswith("RETURN_") and each.positions is not None
    }
    only = returns.pop() if len(returns) == 1 else None
    return _line(step, code, only or code.co_firstlineno, name)


def first_line(step: Callable[..., Any], name: str) -> str:
    """The line on which `step` begins."""
    code = _code(step)
    return name if code is None else _line(step, code, code.co_firstlineno, name)


def _line(step: Callable[..., Any], code: CodeType, number: int, name: str) -> str:
    return _quoted(code.co_filename, number, name, getattr(step, "__globals__", {}))


def _code(step: Callable[..., Any]) -> CodeType | None:
    return getattr(step, "__code__", None)


def _quoted(file: str, number: int, name: str, variables: dict[str, Any]) -> str:
    linecache.checkcache(file)
    text = linecache.getline(file, number, variables).strip()
    path = Path(file)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else file
    return f"{shown}, line {number}, in {name}" + (f": `{text}`" if text else "")
