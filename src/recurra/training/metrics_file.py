"""Writing and reading `metrics.jsonl`: lines of JSON, of training and of evaluations."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recurra.durable import load_json, open_plain
from recurra.errors import RunError, quoted
from recurra.metrics.records import VALID
from recurra.training.durable import first_line

LONGEST_LINE = 1 << 20
"""In bytes; a line of an evaluation has some hundreds."""
NUMBERS = (
    "epoch", "tokens", "seconds", "train_loss", "learning_rate", "gradient_norm", "clip_rate", "tokens_per_second"
)  # fmt: skip


def metrics_line(values: Mapping[str, Any]) -> bytes:
    """One line, its end included."""
    return (json.dumps(values, allow_nan=False) + "\n").encode()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of metrics, none where there is no file; a last line that a kill cut short is left out.

    Raises:
        RunError: another line is not a JSON object, or what should be a number in it is none.
    """
    rows: list[dict[str, Any]] = []
    try:
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                number = len(rows) + 1
                if len(line) > LONGEST_LINE:
                    raise RunError(
                        f"{path}, line {number}: longer than {LONGEST_LINE} bytes; remove the line."
                    )
                if line.endswith(b"\n"):
                    rows.append(_row(line, f"{path}, line {number}"))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({first_line(error)}).") from error
    return rows


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = load_json(line)
    except ValueError as error:
        raise RunError(f"{where}: not JSON ({first_line(error)}); remove the line.") from error
    if not isinstance(row, dict):
        raise RunError(f"{where}: expected a JSON object; remove the line.")
    check_row(row, where, "remove the line")
    return row


def check_row(row: dict[str, Any], where: str, remedy: str = "put the original file back") -> None:
    """Check that what should be a number of an evaluation is one.

    Raises:
        RunError: one is not.
    """
    for key, value in row.items():
        number = value is None or type(value) in (int, float)
        if (key in NUMBERS or key.startswith(VALID)) and not number:
            raise RunError(f"{where}: expected a number as {quoted(key)}, got {quoted(value)}; {remedy}.")
    step = row.get("step")
    if row and (type(step) is not int or step < 0):
        raise RunError(f"{where}: expected a whole number as step, got {quoted(step)}; {remedy}.")
