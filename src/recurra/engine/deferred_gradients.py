"""Gradients of weights that the steps of a backward pass defer to one product over all of them."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch

Part = TypeVar("Part")


class DeferredGradients(Generic[Part]):
    """Collects what each step of a backward pass contributes, last step first, until all of it is popped.

    A pass may end without asking for it, if nothing that was differentiated needs it; what it has added is dropped
    when another pass adds something.
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._task = -1

    def add(self, part: Part) -> None:
        """Keep what a step contributes; called in its backward pass."""
        task = torch._C._current_graph_task_id()
        if task != self._task:
            self._task, self._parts = task, []
        self._parts.append(part)

    def pop_all(self) -> list[Part]:
        """What the steps of the present pass have added, which is then forgotten."""
        parts, self._parts = self._parts, []
        return parts
