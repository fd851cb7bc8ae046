"""Which line of a user's source an error is about."""

from __future__ import annotations

import dis
import linecache
import os
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch

# Whose lines are passed over: they are not the user's.
_LIBRARIES = tuple(library.__path__[0] + os.sep for library in (torch, np))
_STANDARD_LIBRARY = sysconfig.get_path("stdlib") + os.sep
_TRACING = tuple(f"recurra.cells.{name}" for name in ("source", "symbols", "trace", "traced", "values"))


def running_line(under: CodeType, step: Callable[..., Any], name: str) -> str:
    """The innermost line of the user's that runs under a function of recurra.

    Args:
        under: the code of that function; what else runs of the tracer is passed over, as are torch, numpy and
            Python's own library.
        step: the function that it runs; `name` is how the line calls it.

    Returns:
        "FILE, line N, in NAME: `text`", less the text where there is no source; `name` if nothing of the user's runs.
    """
    frame = sys._getframe(1)
    while frame.f_code is not under and frame.f_back is not None:
        if not _passed(frame):
            return _in_frame(frame, frame.f_lineno, step, name)
        frame = frame.f_back
    return name


def failing_line(error: BaseException, step: Callable[..., Any], name: str) -> str:
    """The innermost line of the user's at which `error` was raised; as `running_line`."""
    traceback, line = error.__traceback__, name
    while traceback is not None:
        if not _passed(traceback.tb_frame):
            line = _in_frame(traceback.tb_frame, traceback.tb_lineno, step, name)
        traceback = traceback.tb_next
    return line


def _passed(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    standard = file.startswith(_STANDARD_LIBRARY) and "site-packages" not in file
    return standard or file.startswith(_LIBRARIES) or frame.f_globals.get("__name__") in _TRACING


def _in_frame(frame: FrameType, line: int, step: Callable[..., Any], name: str) -> str:
    code = frame.f_code
    same = code is _code(step) or code.co_name.startswith("<")  # lambdas and generators in it
    within = name if same else f"{code.co_name}, which {name} calls"
    return _quoted(code.co_filename, line, within, frame.f_globals)


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
    return f"{_relative(file)}, line {number}, in {name}" + (f": `{text}`" if text else "")


def _relative(file: str) -> str:
    """A file's name from the working directory, where it lies in it."""
    try:
        folder = Path.cwd()
    except FileNotFoundError:  # it has been deleted
        return file
    path = Path(file)
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else file
