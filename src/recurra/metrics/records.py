"""The lines of `metrics.jsonl`, of which there are two kinds: evaluations, and training alone.

An evaluation has figures under `valid_<name>`; a line of training has none. Both say how training went: an evaluation
since the evaluation before it, a line of training since the line of training before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]

VALID = "valid_"


def evaluations(records: Sequence[Record]) -> list[Record]:
    """The lines of evaluations; the one at step 0 is there as well, which has the loss of a part of the data alone."""
    return [record for record in records if _is_evaluation(record)]


def training(records: Sequence[Record]) -> list[Record]:
    """The lines of training alone; where there are none, as in a run of version 0.1, those of evaluations."""
    return [record for record in records if not _is_evaluation(record)] or list(records)


def _is_evaluation(record: Record) -> bool:
    return any(name.startswith(VALID) for name in record)
