"""What the steps of a backward pass leave for one product over all of them."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch

Share = TypeVar("Share")


class Shares(Generic[Share]):
    """Collects a share from each step of a backward pass, last step first, until they are taken together.

    A pass may end without asking for them, if nothing that was differentiated needs them; its shares go when
    those of another pass come.
    """

    def __init__(self) -> None:
        self._left: list[Share] = []
        self._task = -1

    def leave(self, share: Share) -> None:
        """Keep a step's share; called in its backward pass."""
        task = torch._C._current_graph_task_id()
        if task != self._task:
            self._task, self._left = task, []
        self._left.append(share)

    def take(self) -> list[Share]:
        """All shares of the pass under way."""
        left, self._left = self._left, []
        return left
