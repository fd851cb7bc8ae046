"""Where training stands: limits, evaluations, and what is saved of them."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from recurra.errors import RunError
from recurra.training.config import FitConfig, TrainingConfig
from recurra.training.counters import Counters, Sums


def test_progress_is_the_largest_share_of_any_limit():
    counters = Counters(step=30, epoch=1, index=3, epoch_length=6)
    assert counters.progress(TrainingConfig(steps=100, epochs=3, minutes=1), elapsed=15.0) == 0.5
    assert counters.progress(TrainingConfig(steps=40, epochs=3, minutes=1), elapsed=15.0) == 0.75
    assert counters.progress(TrainingConfig(steps=100, minutes=1), elapsed=54.0) == 0.9
    assert counters.progress(TrainingConfig(minutes=1), elapsed=70.0) == 1.0


def test_metrics_are_means_since_the_last_evaluation():
    counters = Counters()
    for loss, tokens, norm, clipped, seconds in ((6.0, 3, 0.5, False, 1.0), (9.0, 7, 1.5, True, 3.0)):
        counters.updated(loss, tokens, norm, clipped, seconds)
    line = counters.metrics({"loss": 1.25, "bleu": math.nan})
    assert (line["step"], line["tokens"]) == (2, 10)
    assert (line["train_loss"], line["gradient_norm"], line["clip_rate"]) == (1.5, 1.0, 0.5)
    assert line["tokens_per_second"] == 2.5
    assert (line["valid_loss"], line["valid_bleu"]) == (1.25, None)
    counters.evaluation(1.25, 1.25)
    assert counters.since_evaluation == Sums()
    assert counters.tokens == 10
    line = counters.training_metrics(0.5)
    assert (line["train_loss"], counters.since_line, counters.line_share) == (1.5, Sums(), 0.5)
    assert not any(name.startswith("valid_") for name in line)


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
    timed = TrainingConfig(minutes=1, evaluate_every=4)
    assert Counters(step=4, evaluation_seconds=20.0).evaluation_due(timed, 39.0, ending=False)
    assert not Counters(step=4, evaluation_seconds=20.0).evaluation_due(timed, 40.0, ending=False)
    assert not Counters(step=4, index=1).evaluation_due(TrainingConfig(minutes=1), 0.0, ending=False)


def steps_of(config: FitConfig, epoch_length: int, tokens: int, seconds: float = 0.0, last: int = 10**6):
    """The steps of lines and of evaluations, each of which reads so many tokens; a batch has 10, and takes a second."""
    counters, elapsed, lines, judged = Counters(epoch_length=epoch_length), 0.0, [], []
    counters.evaluation_tokens, counters.evaluation_seconds = tokens, seconds
    while counters.limit_reached(config, elapsed) is None and counters.step < last:
        counters.updated(1.0, 10, 1.0, False, 1.0)
        counters.epoch, counters.index = divmod(counters.step, epoch_length)
        elapsed += 1.0
        share = counters.progress(config, elapsed)
        if counters.line_due(share):
            counters.training_metrics(share)
            lines.append(counters.step)
        if counters.evaluation_due(config, elapsed, ending=False):
            counters.evaluation(1.0, 1.0, share)
            counters.evaluating_seconds += seconds
            elapsed += seconds
            judged.append(counters.step)
    return lines, judged


TENTHS = list(range(100, 1001, 100))


@pytest.mark.parametrize(
    ("config", "epoch_length", "tokens", "expected"),
    [
        ({"steps": 1000}, 5000, 10, TENTHS),  # less than an epoch
        ({"steps": 1000}, 300, 10, TENTHS),
        ({"steps": 1000}, 50, 10, list(range(50, 1001, 50))),  # more than ten epochs
        ({"epochs": 10}, 100, 10, TENTHS),
        ({"epochs": 2}, 500, 10, TENTHS),
        ({"steps": 1000}, 5000, 500, list(range(200, 1001, 200))),  # 10,000 tokens are 5 x 4 x 500
        ({"steps": 1000}, 5000, 10**6, []),  # evaluations that would read more than training does
        ({"steps": 1000}, 300, 10**6, [300, 600, 900]),
    ],
)
def test_evaluations_lie_a_tenth_of_the_run_apart_or_an_epoch(config, epoch_length, tokens, expected):
    assert steps_of(TrainingConfig(**config), epoch_length, tokens)[1] == expected


def test_under_minutes_evaluations_take_a_limited_share_of_the_time():
    assert (
        len(steps_of(TrainingConfig(minutes=20), 10**6, 10, seconds=1.0)[1]) == 9
    )  # the tenth is at the end
    slow = steps_of(TrainingConfig(minutes=20), 10**6, 10, seconds=40.0)[1]
    assert len(slow) == 4  # of 40 seconds, in 15 % of 20 minutes
    assert not steps_of(TrainingConfig(minutes=20), 10**6, 10, seconds=250.0)[1]


@pytest.mark.parametrize("config", [{"steps": 20_000}, {"epochs": 3.5}, {"minutes": 100}])
def test_about_a_hundred_lines_tell_of_training(config):
    lines, _ = steps_of(TrainingConfig(**config), 6_000, 10**9)
    assert 100 <= len(lines) <= 115
    assert lines[:6] == [1, 2, 4, 8, 16, 32]
    assert steps_of(TrainingConfig(steps=7), 100, 10)[0] == [1, 2, 3, 4, 5, 6, 7]


def test_no_line_follows_an_evaluation_at_once():
    counters = Counters(step=3, line_share=0.30)
    counters.updated(1.0, 1, 1.0, False, 1.0)
    counters.evaluation(1.0, 1.0, 0.35)
    counters.updated(1.0, 1, 1.0, False, 1.0)
    assert not counters.line_due(0.352)
    assert counters.line_due(0.36)


def test_a_new_limit_gives_new_shares():
    counters = Counters(step=100, line_share=1.0, evaluated_share=1.0)
    counters.resumed(TrainingConfig(steps=100))
    assert (counters.line_share, counters.evaluated_share) == (1.0, 1.0)
    counters.resumed(TrainingConfig(steps=400))
    assert (counters.line_share, counters.evaluated_share) == (0.25, 0.25)


def test_counters_outlive_json():
    counters = Counters(step=3, epoch=1, index=2, epoch_length=5, seconds=1.5, best_loss=0.25, best_step=2)
    counters.updated(2.0, 3, 0.5, True, 0.1)
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
        ({"index": 1}, r"counters\.index is 1, past its epoch"),
        ({"epoch_length": 0}, r"counters\.epoch_length is 0"),
        ({"step": -1}, r"counters\.step is -1"),
        ({"step": 10**400}, r"counters\.step is a whole number of about 400 digits"),
        ({"seconds": math.inf}, r"counters\.seconds is inf"),
        ({"best_step": 1.5}, r"counters\.best_step is 1\.5"),
        ({"since_line": 3}, "holds other counters than expected"),
        (
            {"since_line": {**dataclasses.asdict(Sums()), "norm": math.nan}},
            r"counters\.since_line\.norm is nan",
        ),
    ],
)
def test_damaged_counters_are_refused(changes, says):
    values = dataclasses.asdict(Counters()) | changes
    with pytest.raises(RunError, match=rf"^here: values\.json.*{says}|^here: .*{says}"):
        Counters.unpack(values, "here")


def test_counters_of_version_0_1_are_read():
    """They had sums since the last evaluation only, among the others."""
    values = dataclasses.asdict(Counters(step=3, epoch_length=5))
    for name in (
        "evaluation_tokens", "evaluating_seconds", "evaluated_share", "line_share", "since_evaluation", "since_line"
    ):  # fmt: skip
        del values[name]
    sums = {
        "loss_sum": 6.0,
        "loss_tokens": 3,
        "norm_sum": 1.5,
        "clipped": 1,
        "updates": 2,
        "busy_seconds": 0.5,
    }
    counters = Counters.unpack(values | sums, "here")
    assert counters == Counters(step=3, epoch_length=5, since_evaluation=Sums(6.0, 3, 1.5, 1, 2, 0.5))
