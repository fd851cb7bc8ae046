"""What a translator alone can show."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.tasks.registry import TASKS
from recurra.tasks.translation_views import VIEWS


@pytest.fixture
def views(word_translator):
    return word_translator.views()


def test_they_are_those_that_the_registry_names():
    assert set(VIEWS) == set(TASKS["translate"].views)


def test_attention_is_a_picture_a_page_and_numbers(views):
    shown = views["attention"](source="ein hund isst")
    assert shown.figure is not None
    assert shown.page is not None
    assert shown.page.count("hund") >= 1


def test_the_beam_is_ranked(views):
    shown = views["beam"](source="ein hund", beam_size=3)
    columns, rows = shown.printed[0]
    assert tuple(columns) == ("place", "score", "log P", "symbols", "output")
    assert [row[0] for row in rows] == [1, 2, 3]
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)


def test_errors_are_counted_by_beam_size_with_examples(views):
    shown = views["errors"](beam_sizes=[2, 1, 2], sentences=8, examples=1)
    assert [row[0] for row in shown.printed[0][1]] == [1, 2]
    assert [record["beam_size"] for record in shown.records] == [1, 2]
    assert shown.text.count(" error, beam size") == sum(
        any(record[kind] for record in shown.records) for kind in ("model_errors", "search_errors")
    )


@pytest.mark.parametrize(
    ("view", "options", "message"),
    [
        ("attention", {}, "--source: expected a text to translate, got none"),
        ("beam", {}, "--source: expected a text to translate, got none"),
        ("errors", {"beam_sizes": [0]}, "beam_sizes: expected"),
        ("lengths", {"labels": ["one", "two"]}, "labels: expected 1 different ones, one for each run"),
    ],
)
def test_what_cannot_be_shown_is_refused(views, view, options, message):
    with pytest.raises(ConfigError, match=message):
        views[view](**options)
