"""The training loop's settings: what is refused, what stands for no limit, and what a resumed run must keep."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from recurra.errors import ConfigError
from recurra.settings import keys_with
from recurra.training.config import PairTrainingConfig, TrainingConfig


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 0),
        ("bptt", -1),
        ("accumulate", 1.5),
        ("steps", 0),
        ("epochs", 0.0),
        ("minutes", math.nan),
        ("clip_norm", 0.0),
        ("clip_value", -1.0),
        ("precision", "float16"),
        ("device", "tpu"),
        ("seed", -1),
        ("keep", -1),
        ("patience", 0),
        ("threads", "2"),
        ("weights", "first"),
        ("tensorboard", "yes"),
    ],
)
def test_bad_values_are_refused_by_key(key, value):
    with pytest.raises(ConfigError, match=rf"^training\.{key}: expected .*, got "):
        TrainingConfig(**{key: value})


def test_the_portions_are_keys_of_those_who_read_them():
    assert [field.name for field in dataclasses.fields(TrainingConfig)][:3] == [
        "batch_size",
        "bptt",
        "epochs",
    ]
    assert [field.name for field in dataclasses.fields(PairTrainingConfig)][:2] == ["batch_tokens", "epochs"]
    with pytest.raises(ConfigError, match=r"^training\.batch_tokens: expected .*, got 0"):
        PairTrainingConfig(batch_tokens=0)
    with pytest.raises(ConfigError, match=r"^training\.keep: expected .*, got -1"):
        PairTrainingConfig(keep=-1)
    with pytest.raises(TypeError, match="bptt"):
        PairTrainingConfig(bptt=64)


def test_ten_epochs_where_no_limit_is_given():
    assert TrainingConfig().epochs == PairTrainingConfig().epochs == 10.0
    assert TrainingConfig(steps=5).epochs is None


def test_what_a_resumed_run_must_keep():
    common = ["accumulate", "seed", "weights", "start_from"]
    assert keys_with(TrainingConfig, "fixed") == ["batch_size", "bptt", *common]
    assert keys_with(PairTrainingConfig, "fixed") == ["batch_tokens", *common]


def test_a_run_to_start_from_is_a_folder_by_its_name_or_path():
    assert TrainingConfig(start_from=Path("runs") / "x").start_from == str(Path("runs") / "x")
    with pytest.raises(ConfigError, match=r"^training\.start_from: expected the folder of a run, got ''\.$"):
        TrainingConfig(start_from="")
