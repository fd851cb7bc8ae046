"""A beam search as data: which ends count, which path is the best."""

from __future__ import annotations

import json

import pytest

from a_search import NODES, tree
from recurra.errors import ShapeError
from recurra.inspection.beam_tree import Node


def test_the_best_ends_count_and_the_best_of_them_wins() -> None:
    assert tree().ends() == [10, 5]
    assert tree().winner() == [0, 4, 10]
    # Of equal scores that counts which came first.
    equal = [*NODES[:8], Node(2, 1, "<eos>", -2.0, -1.0, "finished")]
    assert tree(equal).ends() == [5, 8]
    unfinished = [node for node in NODES[:8] if node.fate == "live"][:2]
    assert tree(unfinished).winner() == [1]
    assert tree(unfinished).ends() == []


def test_what_leads_to_an_end_that_counts() -> None:
    assert tree().leading() == {0, 4, 5, 10}
    assert tree(NODES[:2]).leading() == {1}  # without an end, the best hypothesis so far


def test_plain_values_hold_what_was_found_best_first() -> None:
    record = json.loads(json.dumps(tree(title="it").as_dict()))
    assert record["beam_size"] == 2
    assert [one["symbols"] for one in record["finished"]] == [["a", "d", "<eos>"], ["a", "<eos>"]]
    assert [one["score"] for one in record["finished"]] == [-0.6, -1.0]


def test_a_search_without_nodes_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least one symbol"):
        tree([])
