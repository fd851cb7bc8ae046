"""How fast and how long a run was trained, and on what, for benchmarks that train one."""

from __future__ import annotations

from typing import Any

from recurra.inspection.machine import describe
from recurra.training.loop import Result


def speed_of_run(result: Result, minutes: float) -> dict[str, Any]:
    """The part of a benchmark's JSON object that every trained run has; `result` is that of its training."""
    return {
        "tokens_per_second": round(result.tokens / result.seconds),
        "epochs": round(result.epoch, 2),
        "minutes": minutes,
        **describe(),
    }
