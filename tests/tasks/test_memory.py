"""Models beyond this machine's memory are refused before any of it is asked for."""

from __future__ import annotations

import pytest
import torch

from recurra import LanguageModelConfig, LMConfig, TextConfig, train
from recurra.errors import ConfigError
from recurra.models.language_model import LanguageModel
from recurra.tasks import memory

CPU = torch.device("cpu")


def build(size: int):
    return lambda: LanguageModel(LanguageModelConfig(hidden_size=size), 50)


def test_what_fits_passes_and_draws_nothing():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    memory.check_memory(build(32), "adamw", CPU)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("size", "says"), [(200_000, r"[\d,]+ weights take [\d,.]+ GiB .* has"), (10**10, "beyond")]
)
def test_what_does_not_is_named_with_what_it_needs(size, says):
    with pytest.raises(ConfigError, match=says) as caught:
        memory.check_memory(build(size), "adamw", CPU)
    assert "\n" not in str(caught.value)


def test_the_optimiser_counts(monkeypatch):
    size = sum(parameter.numel() * 4 for parameter in build(32)().parameters())
    monkeypatch.setattr(memory, "memory_of", lambda device: 3 * size)
    memory.check_memory(build(32), "sgd", CPU)
    with pytest.raises(ConfigError, match="gradients"):
        memory.check_memory(build(32), "adamw", CPU)


def test_training_asks(tmp_path):
    config = LMConfig(data=TextConfig(), model=LanguageModelConfig(hidden_size=300_000))
    with pytest.raises(ConfigError, match="weights take"):
        train(config, tmp_path / "run")
    assert not list(tmp_path.iterdir())
