"""What `model.backend` may be."""

from __future__ import annotations

from collections.abc import Sequence


def backend_names() -> Sequence[str]:
    """The names of the engine's backends, and "auto"; the engine is imported when they are asked for."""
    from recurra.engine import CHOICES

    return CHOICES
