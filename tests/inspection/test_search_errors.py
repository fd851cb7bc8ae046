"""Errors of the model told from errors of the search."""

from __future__ import annotations

import json

import pytest

from recurra.inspection.search_errors import Comparison, SearchErrors


def comparison(output: float, reference: float, equal: bool = False) -> Comparison:
    return Comparison("source", f"{output}", f"{reference}", output, reference, equal)


@pytest.fixture
def errors() -> SearchErrors:
    scores = [(-1.0, -2.0), (-1.0, -1.0), (-1.0, -0.9), (-3.0, -0.5), (-2.0, -1.0), (-1.5, -7.0)]
    comparisons = [comparison(*pair) for pair in scores] + [comparison(-1.0, -1.0, equal=True)] * 2
    return SearchErrors(3, comparisons, "exact_match", 25.0)


def test_an_output_that_the_model_likes_as_much_as_the_reference_is_its_own_error(
    errors: SearchErrors,
) -> None:
    assert [one.kind for one in errors.comparisons] == [
        "model", "model", "search", "search", "search", "model", "equal", "equal",
    ]  # fmt: skip
    assert [errors.count(kind) for kind in ("equal", "model", "search")] == [2, 3, 3]
    # An output that equals another reference is right, whatever the model thinks of the one it prefers.
    assert comparison(-2.0, -1.0, equal=True).kind == "equal"


def test_examples_differ_most_in_score(errors: SearchErrors) -> None:
    assert [one.output_score for one in errors.examples("search", 2)] == [-3.0, -2.0]
    assert [one.reference_score for one in errors.examples("model", 9)] == [-7.0, -2.0, -1.0]


def test_plain_values_count_each_kind_and_hold_a_few_examples(errors: SearchErrors) -> None:
    record = json.loads(json.dumps(errors.as_dict(examples=1)))
    assert (record["beam_size"], record["sentences"], record["exact_match"]) == (3, 8, 25.0)
    assert (record["equal"], record["model_errors"], record["search_errors"]) == (2, 3, 3)
    assert [one["reference_score"] for one in record["model_examples"]] == [-7.0]
    assert [one["output_score"] for one in record["search_examples"]] == [-3.0]
