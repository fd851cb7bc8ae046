"""A beam search as data: every symbol that it considered, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from recurra.errors import ShapeError


@dataclass(frozen=True)
class Node:
    """One symbol that a beam search considered.

    Attributes:
        length: how many symbols the hypothesis has with this one, from 1.
        parent: the index of the node it follows; None for a first symbol.
        label: of the symbol.
        log_prob: of the whole hypothesis up to and with this symbol.
        score: the log-probability with its penalties.
        fate: `live` was kept, `finished` ended the hypothesis, `pruned` was not among the best.
    """

    length: int
    parent: int | None
    label: str
    log_prob: float
    score: float
    fate: Literal["live", "finished", "pruned"]


@dataclass(frozen=True)
class BeamTree:
    """What a beam search looked at for one source.

    Attributes:
        nodes: parents before their children.
        beam_size: K, the most that live, and the most ends that count.
        title: what is shown.

    Raises:
        ShapeError: there is no node.
    """

    nodes: Sequence[Node]
    beam_size: int
    title: str = ""

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ShapeError("nodes: expected at least one symbol that the search considered, got none.")

    def ends(self) -> list[int]:
        """The finished nodes that the search ended with, at most K, best score first."""
        finished = [index for index, node in enumerate(self.nodes) if node.fate == "finished"]
        return sorted(finished, key=lambda index: -self.nodes[index].score)[: self.beam_size]

    def winner(self) -> list[int]:
        """The nodes of the best hypothesis in order; of the most probable longest one where none is finished."""
        longest = max(self.nodes, key=lambda node: (node.length, node.log_prob))
        return self.path([*self.ends(), self.nodes.index(longest)][0])

    def leading(self) -> set[int]:
        """The nodes of the hypotheses whose ends count, and of the best one."""
        return {node for end in self.ends() for node in self.path(end)} | set(self.winner())

    def path(self, index: int) -> list[int]:
        """The nodes from the first symbol to the one at `index`."""
        nodes, node = [], index
        while True:
            nodes.append(node)
            parent = self.nodes[node].parent
            if parent is None:
                return nodes[::-1]
            node = parent

    def as_dict(self) -> dict[str, Any]:
        """What was found, best first, as plain values for JSON."""
        return {
            "title": self.title,
            "beam_size": self.beam_size,
            "finished": [
                {
                    "symbols": [self.nodes[node].label for node in self.path(end)],
                    "log_prob": self.nodes[end].log_prob,
                    "score": self.nodes[end].score,
                }
                for end in self.ends()
            ],
        }
