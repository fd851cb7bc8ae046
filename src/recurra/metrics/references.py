"""The checks that every metric makes of outputs and references: there are as many of one as of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recurra.errors import DataError


def check_references(hypotheses: Sequence[Any], references: Sequence[Sequence[Any]]) -> None:
    """Refuse outputs that cannot be scored: each hypothesis needs a list of one or more references.

    Raises:
        DataError: there is no hypothesis, their numbers differ, or a hypothesis has no list of references.
    """
    if isinstance(hypotheses, str) or not hypotheses:
        got = "a text" if isinstance(hypotheses, str) else "none"
        raise DataError(f"hypotheses: expected a list of at least one to score, got {got}.")
    if len(hypotheses) != len(references):
        raise DataError(
            f"references: expected a list of them for each of the {len(hypotheses)} hypotheses, "
            f"got {len(references)}."
        )
    for number, listed in enumerate(references, start=1):
        if isinstance(listed, str) or not listed:
            got = f"the text {listed!r}; write it as a list" if listed else "none"
            raise DataError(
                f"references: expected a list of at least one for hypothesis {number}, got {got}."
            )
