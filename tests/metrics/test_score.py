"""A score carries its name, direction and signature."""

from __future__ import annotations

import dataclasses
import json

import pytest

from recurra.metrics.by_name import METRICS, score_outputs
from recurra.metrics.score import Score


def test_the_cost_falls_as_the_score_gets_better():
    accuracy, loss = Score("accuracy", 93.1, True, "931 / 1000"), Score("hamming", 3.5, False, "7 / 2")
    assert (accuracy.cost, loss.cost) == (-93.1, 3.5)
    assert dataclasses.replace(accuracy, value=94.0).cost < accuracy.cost
    assert dataclasses.replace(loss, value=3.0).cost < loss.cost


def test_plain_values_and_text():
    score = Score("label_accuracy", 93.125, True, "100 right / outputs; 149 / 160")
    assert score.as_dict() == {"label_accuracy": 93.125, "signature": "100 right / outputs; 149 / 160"}
    assert str(score) == "label accuracy 93.12 (100 right / outputs; 149 / 160)"


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_gives_a_score_under_its_name(name):
    """Its values are plain, its figure comes first, and it is the same score when computed again."""
    outputs, references = ["a cat sat", "a  dog"], [["a cat sat down"], ["the dog", "a dog"]]
    score = score_outputs([name], outputs, references)[name]
    assert isinstance(score, Score)
    assert score.name == name
    values = score.as_dict()
    assert next(iter(values.items())) == (name, score.value)
    assert json.loads(json.dumps(values)) == values
    assert str(score).endswith(f"({score.signature})")
    assert score == score_outputs([name], outputs, references)[name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.value = 0.0
