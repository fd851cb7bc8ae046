"""What a task must say, and what is so unless it says otherwise."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.tasks.task import NoOptions, OnData, Task
from tasks import bigram

SEVEN = {"load_data", "read", "build_model", "batches", "evaluate", "predict", "views"}


class Silent(bigram.Bigrams):
    """Says nothing that it need not say."""

    name = "silent"
    views = Task.views
    decoding = Task.decoding
    reading = Task.reading


def test_the_contract_is_seven_methods_one_of_which_may_be_empty():
    assert {*Task.__abstractmethods__, "views"} == SEVEN
    assert Silent().views() == {}


def test_a_task_without_options_takes_none_and_validates_with_none():
    assert (Task.evaluate_options, Task.predict_options) == (NoOptions, NoOptions)
    assert isinstance(Silent().validation_options(None), NoOptions)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("decoding", ("a", None, None, None), "sample: a model of the task silent gives no sequence"),
        ("reading", ("a", None, None), "text: the task silent reads no text"),
    ],
)
def test_what_its_models_cannot_do_is_refused(method, arguments, message):
    with pytest.raises(ConfigError, match=message):
        getattr(Silent(), method)(*arguments)


def test_options_on_data_have_a_mapping_of_their_own():
    assert OnData().files == {}
    assert OnData().files is not OnData().files
