"""Two sentences and their weights: what is refused, labels, plain values."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recurra.errors import ShapeError
from recurra.inspection.alignment import Alignment


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (np.full((2, 2), 0.5), "got \\[2, 2\\]"),
        (np.full((2, 3), np.nan), "from 0 to 1"),
        (np.array([[0.5, 0.7, -0.2]] * 2), "from 0 to 1"),
        (np.array([[0.1, 0.2, 1.2]] * 2), "from 0 to 1"),
    ],
)
def test_other_weights_are_refused(weights: np.ndarray, expected: str) -> None:
    with pytest.raises(ShapeError, match=expected):
        Alignment(["a", "b", "c"], ["x", "y"], weights)


def test_labels_show_what_does_not_print_and_plain_values_do_not() -> None:
    alignment = Alignment(["a\u202f", "\n"], ["\x00", "", "b"], np.full((3, 2), 0.5), frozenset({1}), "it")
    assert alignment.labels == (["a␣", "↵"], ["\ufffd", "∅", "b"])
    record = json.loads(json.dumps(alignment.as_dict()))
    assert (record["source"], record["unknown"]) == (["a\u202f", "\n"], [1])
    assert record["weights"] == [[0.5, 0.5]] * 3
