"""Outputs and references that do not fit each other are refused."""

from __future__ import annotations

import pytest

from recurra.errors import DataError
from recurra.metrics.references import check_references


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        (["a"], [["a"]]),
        (["a", "b", ""], [["a"], ["b", "c", "d"], [""]]),
        ([["K", "AE"], []], [[["K"]], [["AH"], []]]),
        (("a", "b"), (("a",), ("b", "c"))),
    ],
)
def test_any_number_of_references_but_none(hypotheses, references):
    check_references(hypotheses, references)


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "hypotheses: expected a list of at least one to score, got none."),
        ("ab", [["a"], ["b"]], "hypotheses: expected a list of at least one to score, got a text."),
        (
            ["a", "b", "c"],
            [["a"], ["b"]],
            "references: expected a list of them for each of the 3 hypotheses, got 2.",
        ),
        (
            ["a", "b", "c"],
            [["a"], ["b"], []],
            "references: expected a list of at least one for hypothesis 3, got none.",
        ),
        (
            ["a", "b"],
            ["a", ["b"]],
            "references: expected a list of at least one for hypothesis 1, got the text 'a'; write it as a list.",
        ),
        (["a"], [""], "references: expected a list of at least one for hypothesis 1, got none."),
    ],
)
def test_what_does_not_fit_is_named(hypotheses, references, message):
    with pytest.raises(DataError) as raised:
        check_references(hypotheses, references)
    assert str(raised.value) == message
