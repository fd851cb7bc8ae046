"""The optimiser's settings: what is refused, and what stands for nothing given."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.training.optimiser_config import OptimiserConfig


def test_each_has_its_own_defaults():
    resolved = {name: OptimiserConfig(name) for name in ("adam", "adamw", "sgd")}
    assert {name: (c.rate, c.weight_decay) for name, c in resolved.items()} == {
        "adam": (2e-3, 0.0),
        "adamw": (2e-3, 0.01),
        "sgd": (1.0, 0.0),
    }
    assert OptimiserConfig("sgd", learning_rate=0.5, betas=[0.5, 0.6]).betas == (0.5, 0.6)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "adma"},
        {"learning_rate": 0.0},
        {"learning_rate": float("inf")},
        {"learning_rate": "fast"},
        {"weight_decay": -0.1},
        {"momentum": 1.0},
        {"betas": (0.9, 1.0)},
        {"betas": (0.9,)},
        {"betas": 0.9},
    ],
)
def test_bad_values_are_refused_by_key(values):
    with pytest.raises(ConfigError, match=rf"^optimiser\.{next(iter(values))}: expected "):
        OptimiserConfig(**values)


def test_nearest_name_is_offered():
    with pytest.raises(ConfigError, match="Did you mean 'adamw'"):
        OptimiserConfig("admw")


def test_the_rate_is_that_given_or_the_optimisers():
    assert [OptimiserConfig(name).rate for name in ("adam", "adamw", "sgd")] == [2e-3, 2e-3, 1.0]
    assert OptimiserConfig("sgd", learning_rate=3).rate == 3.0
