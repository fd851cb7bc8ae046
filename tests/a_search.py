"""A beam search over three steps, by hand."""

from __future__ import annotations

from recurra.inspection.beam_tree import BeamTree, Node

# Beam size 2; scores are log P / length.
NODES = [
    Node(1, None, "a", -1.0, -1.0, "live"),
    Node(1, None, "b", -0.7, -0.7, "live"),
    Node(1, None, "c", -3.0, -3.0, "pruned"),
    Node(1, None, "<eos>", -9.0, -9.0, "finished"),
    Node(2, 0, "d", -1.5, -0.75, "live"),
    Node(2, 0, "<eos>", -2.0, -1.0, "finished"),
    Node(2, 1, "e", -1.4, -0.7, "live"),
    Node(2, 1, "f", -2.5, -1.25, "pruned"),
    Node(2, 1, "<eos>", -4.0, -2.0, "finished"),
    Node(3, 4, "g", -6.0, -2.0, "pruned"),
    Node(3, 4, "<eos>", -1.8, -0.6, "finished"),
    Node(3, 6, "<eos>", -6.0, -2.0, "finished"),
]


def tree(nodes: list[Node] = NODES, title: str = "") -> BeamTree:
    return BeamTree(nodes, 2, title)
