"""What every task's predictions have in common."""

from __future__ import annotations

import json

import pytest

from recurra.tasks.line_scores import Choice, LineScore
from recurra.tasks.prediction import Prediction
from recurra.tasks.translations import Output, Translation

PREDICTIONS = [
    Translation("a", ["a", "<eos>"], [Output("x", ["x", "<eos>"], -1.5, -0.5, None, True)]),
]


def test_both_methods_are_asked_for():
    class Half(Prediction):
        def line(self) -> str:
            return "half"

    with pytest.raises(TypeError, match="as_dict"):
        Half()


def test_known_and_whole_unless_it_says_otherwise():
    class Whole(Prediction):
        def line(self) -> str:
            return "1"

        def as_dict(self) -> dict[str, int]:
            return {"one": 1}

    assert (Whole().unknown, Whole().truncated, Whole().header) == (0, False, "")


@pytest.mark.parametrize("kind", [Translation, LineScore, Choice])
def test_those_of_the_tasks_are_such(kind):
    assert issubclass(kind, Prediction)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_line_has_no_end_and_plain_values_are_json(prediction):
    assert not prediction.line().endswith("\n")
    assert json.loads(json.dumps(prediction.as_dict())) == prediction.as_dict()
