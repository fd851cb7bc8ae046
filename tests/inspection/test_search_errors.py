"""Errors of the model told from errors of the search, and their picture."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.inspection.search_errors import Comparison, SearchErrors, plot_search_errors, save_search_errors


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


def test_bars_are_shares(errors: SearchErrors, tmp_path) -> None:
    other = SearchErrors(5, [comparison(-1.0, -1.0, equal=True)] * 8, "exact_match", 100.0)
    axes = plot_search_errors([errors, other], "run").axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [25.0, 37.5, 37.5, 100.0, 0.0, 0.0]
    assert [bar.get_x() for bar in axes.patches][:3] == [0.0, 25.0, 62.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["3", "5"]
    assert save_search_errors([errors, other], tmp_path / "errors.png").stat().st_size > 5_000


def test_nothing_to_draw_is_refused(errors: SearchErrors) -> None:
    for nothing in ([], [SearchErrors(1, [], "bleu", 0.0)]):
        with pytest.raises(ConfigError, match="at least one beam size"):
            plot_search_errors(nothing)
