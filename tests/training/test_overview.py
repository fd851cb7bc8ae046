"""What training says before it begins."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from recurra import Recurrent
from recurra.cells import GRU, LSTM
from recurra.engine.cpu import build
from recurra.training import overview
from recurra.training.config import TrainingConfig
from recurra.training.counters import Counters
from recurra.training.job import Settings
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig


def test_rows_stand_below_each_other(capsys):
    overview.show([("data", "much"), ("vocabulary", "small")])
    assert capsys.readouterr().err == "data        much\nvocabulary  small\n"


def test_only_what_is_slow_is_announced(capsys, monkeypatch):
    monkeypatch.setattr(overview, "SLOW_SECONDS", 0.05)
    with overview.slow(("reading", "a.txt")):
        pass
    time.sleep(0.1)
    assert capsys.readouterr().err == ""
    with overview.slow(("reading", "a.txt")):
        time.sleep(0.2)
    assert capsys.readouterr().err == "reading     a.txt\n"


class Pair(nn.Module):
    def __init__(self, backend: str) -> None:
        super().__init__()
        self.encoder = Recurrent(LSTM, 3, 4, bidirectional=True, backend=backend)
        self.layers = nn.ModuleList([Recurrent(GRU, 8, [5, 6], backend=backend)])


def test_a_model_is_its_layers_and_parameters():
    model = Pair("reference")
    count = sum(parameter.numel() for parameter in model.parameters())
    assert overview.model(model) == [
        (
            "model",
            f"encoder LSTM, 1 layer of 4 in both directions; GRU, 2 layers of 5, 6; {count} parameters",
        ),
        ("backend", "reference: a loop of PyTorch's operations (named by the model's options)"),
    ]
    assert overview.model(nn.Linear(2, 3)) == [("model", "Linear; 9 parameters")]


def test_what_is_in_the_way_of_generated_kernels_is_said(monkeypatch):
    monkeypatch.setattr(build, "obstacle", lambda: "there is no C++ compiler")
    (_, (label, text)) = overview.model(Recurrent(GRU, 2, 3))
    assert label == "backend"
    assert text.startswith("reference: ")
    assert "; not cpu, since there is no C++ compiler" in text


def test_the_machine():
    settings = Settings(TrainingConfig(threads=1), OptimiserConfig(), ScheduleConfig())
    assert overview.machine(settings, torch.device("cpu")) == ("device", "cpu, 1 thread, float32")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "10 epochs (70 updates)"),
        ({"steps": 14}, "14 updates (2 epochs)"),
        ({"epochs": 1e308}, "1e+308 epochs (inf updates)"),
        ({"epochs": 1e20}, "1e+20 epochs (7e+20 updates)"),
        ({"steps": 7, "accumulate": 3}, "7 updates (3 epochs)"),
        (
            {"minutes": 2.5, "patience": 3},
            "2.5 minutes (an epoch is 7 updates), or 3 evaluations without a better one",
        ),
    ],
)
def test_the_limit_in_updates(config, says):
    assert overview.limit(TrainingConfig(**config), Counters(epoch_length=7)) == ("limit", says)
    resumed = overview.limit(TrainingConfig(**config), Counters(step=5, epoch_length=7))
    assert resumed[1] == f"{says}; resumed after 5 updates"
