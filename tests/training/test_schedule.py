"""Learning rates over a run's progress."""

from __future__ import annotations

import math

import pytest

from recurra.errors import ConfigError
from recurra.training.schedule import Schedule, ScheduleConfig


def factors(config: ScheduleConfig, points: list[tuple[int, float, float]]) -> list[float]:
    schedule = Schedule(config)
    return [schedule.factor(*point) for point in points]


def test_warm_up_reaches_the_full_rate_with_its_last_update():
    config = ScheduleConfig("constant", warmup_steps=4)
    assert factors(config, [(step, 0.0, 0.5) for step in range(6)]) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_and_cosine_run_over_progress():
    points = [(9, 0.0, progress) for progress in (0.0, 0.25, 0.5, 1.0, 1.5)]
    linear = factors(ScheduleConfig("linear", warmup_steps=0, final=0.2), points)
    assert linear == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])
    cosine = factors(ScheduleConfig("cosine", warmup_steps=0), points)
    assert cosine == pytest.approx([1.0, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0.0, 0.0])


def test_step_counts_epochs():
    config = ScheduleConfig("step", warmup_steps=0, factor=0.5, every=1.5)
    assert factors(config, [(0, epoch, 0.0) for epoch in (0.0, 1.4, 1.5, 2.9, 3.0)]) == [1, 1, 0.5, 0.5, 0.25]


def test_plateau_waits_for_a_better_loss():
    schedule = Schedule(ScheduleConfig("plateau", warmup_steps=0, factor=0.5, patience=2))
    seen = []
    for loss in (3.0, 2.0, 2.5, 2.0, 1.9, 2.0, 2.0, 2.0, 2.0):
        schedule.evaluated(loss)
        seen.append(schedule.factor(9, 0.0, 0.0))
    assert seen == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_plateau_goes_on_from_what_it_packed():
    config = ScheduleConfig("plateau", patience=2)
    first, second = Schedule(config), Schedule(config)
    for loss in (1.0, 2.0):
        first.evaluated(loss)
    second.unpack(first.pack(), "here")
    for schedule in (first, second):
        schedule.evaluated(3.0)
    assert first.scale == second.scale == 0.1


@pytest.mark.parametrize(
    "values",
    [
        {"name": "exponential"},
        {"warmup_steps": -1},
        {"final": 1.5},
        {"factor": 0.0},
        {"patience": 0},
        {"every": 0},
        {"every": math.nan},
    ],
)
def test_bad_values_are_refused_by_key(values):
    with pytest.raises(ConfigError, match=rf"^schedule\.{next(iter(values))}: expected "):
        ScheduleConfig(**values)
