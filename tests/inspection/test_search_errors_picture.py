"""Errors of the model and of the search as bars."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.inspection.search_errors import Comparison, SearchErrors
from recurra.inspection.search_errors_picture import plot_search_errors, show_search_errors


def comparison(output: float, reference: float, equal: bool = False) -> Comparison:
    return Comparison("source", f"{output}", f"{reference}", output, reference, equal)


@pytest.fixture
def errors() -> SearchErrors:
    scores = [(-1.0, -2.0), (-1.0, -1.0), (-1.0, -0.9), (-3.0, -0.5), (-2.0, -1.0), (-1.5, -7.0)]
    comparisons = [comparison(*pair) for pair in scores] + [comparison(-1.0, -1.0, equal=True)] * 2
    return SearchErrors(3, comparisons, "exact_match", 25.0)


def test_bars_are_shares(errors: SearchErrors, tmp_path) -> None:
    other = SearchErrors(5, [comparison(-1.0, -1.0, equal=True)] * 8, "exact_match", 100.0)
    axes = plot_search_errors([errors, other], "run").axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [25.0, 37.5, 37.5, 100.0, 0.0, 0.0]
    assert [bar.get_x() for bar in axes.patches][:3] == [0.0, 25.0, 62.5]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["3", "5"]
    shown = show_search_errors([errors, other], "run", examples=1)
    picture, table = shown.save(tmp_path / "errors.png")
    assert picture.stat().st_size > 5_000
    assert table.read_text(encoding="utf-8").splitlines() == [
        "beam size,equal,model errors,search errors,exact_match",
        "3,2,3,3,25.0",
        "5,8,0,0,100.0",
    ]
    assert [one["beam_size"] for one in shown.record["beam_sizes"]] == [3, 5]


def test_nothing_to_draw_is_refused(errors: SearchErrors) -> None:
    for nothing in ([], [SearchErrors(1, [], "bleu", 0.0)]):
        with pytest.raises(ConfigError, match="at least one beam size"):
            plot_search_errors(nothing)
