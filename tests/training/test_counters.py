"""Where training stands: limits, evaluations, and what is saved of them."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from recurra.errors import RunError
from recurra.training.config import TrainingConfig
from recurra.training.counters import Counters


def test_progress_is_the_largest_share_of_any_limit():
    counters = Counters(step=30, epoch=1, index=3, epoch_length=6)
    assert counters.progress(TrainingConfig(steps=100, epochs=3, minutes=1), elapsed=15.0) == 0.5
    assert counters.progress(TrainingConfig(steps=40, epochs=3, minutes=1), elapsed=15.0) == 0.75
    assert counters.progress(TrainingConfig(steps=100, minutes=1), elapsed=54.0) == 0.9
    assert counters.progress(TrainingConfig(minutes=1), elapsed=70.0) == 1.0


def test_metrics_are_means_since_the_last_evaluation():
    counters = Counters()
    for loss, tokens, norm, clipped in ((6.0, 3, 0.5, False), (9.0, 7, 1.5, True)):
        counters.updated(loss, tokens, norm, clipped)
    counters.busy_seconds = 4.0
    line = counters.metrics({"loss": 1.25, "bleu": math.nan})
    assert (line["step"], line["tokens"]) == (2, 10)
    assert (line["train_loss"], line["gradient_norm"], line["clip_rate"]) == (1.5, 1.0, 0.5)
    assert line["tokens_per_second"] == 2.5
    assert (line["valid_loss"], line["valid_bleu"]) == (1.25, None)
    counters.evaluation(1.25, 1.25)
    assert (counters.loss_sum, counters.loss_tokens, counters.norm_sum, counters.clipped) == (0.0, 0, 0.0, 0)
    assert counters.tokens == 10


def test_evaluations_since_the_best_count_to_the_patience():
    counters, config = Counters(), TrainingConfig(epochs=99, patience=2)
    since, ends = [], []
    for criterion in (3.0, 2.0, 2.0, 2.5, 1.0):
        counters.step += 5
        assert counters.evaluation(2 * criterion, criterion) == (
            criterion in (3.0, 1.0) or counters.step == 10
        )
        since.append(counters.evaluations_since_best)
        ends.append(counters.limit_reached(config, 0.0))
    assert since == [0, 0, 1, 2, 0]
    assert ends == [None, None, None, "patience", None]
    assert (counters.best_step, counters.best_loss, counters.best_criterion) == (25, 2.0, 1.0)


def test_an_update_is_begun_only_if_it_may_end_in_time():
    config = TrainingConfig(minutes=1)
    counters = Counters(update_seconds=5.0)
    assert counters.limit_reached(config, 49.9) is None
    assert counters.limit_reached(config, 50.0) == "minutes"
    assert Counters(step=7).limit_reached(TrainingConfig(steps=7), 0.0) == "steps"
    assert (
        Counters(epoch=1, index=3, epoch_length=6).limit_reached(TrainingConfig(epochs=1.5), 0.0) == "epochs"
    )


def test_when_an_evaluation_is_due():
    every = TrainingConfig(steps=99, evaluate_every=3)
    due = [Counters(step=step).evaluation_due(every, 0.0, ending=False) for step in range(7)]
    assert due == [False, False, False, True, False, False, True]
    assert Counters(step=4).evaluation_due(every, 0.0, ending=True)
    assert not Counters(step=4, evaluated=4).evaluation_due(every, 0.0, ending=True)
    timed = TrainingConfig(minutes=1)
    assert Counters(step=4, evaluation_seconds=20.0).evaluation_due(timed, 39.0, ending=False)
    assert not Counters(step=4, evaluation_seconds=20.0).evaluation_due(timed, 40.0, ending=False)
    assert not Counters(step=4, index=1).evaluation_due(timed, 0.0, ending=False)


def test_counters_outlive_json():
    counters = Counters(step=3, epoch=1, index=2, epoch_length=5, seconds=1.5, best_loss=0.25, best_step=2)
    values = json.loads(json.dumps(dataclasses.asdict(counters)))
    assert Counters.unpack(values, "here") == counters


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"step": 1.5}, r"counters\.step is 1\.5, not a number"),
        ({"step": True}, r"counters\.step is True"),
        ({"seconds": None}, r"counters\.seconds is None"),
        ({"best_loss": "0.1"}, r"counters\.best_loss is '0\.1'"),
        ({"waited": 2}, "holds other counters than expected"),
    ],
)
def test_damaged_counters_are_refused(changes, says):
    values = dataclasses.asdict(Counters()) | changes
    with pytest.raises(RunError, match=rf"^here: values\.json.*{says}|^here: .*{says}"):
        Counters.unpack(values, "here")
