"""Several models in the place of one."""

from __future__ import annotations

import torch

import translators
from recurra.tasks.ensemble import EnsembleModel


def test_its_distribution_is_the_mean_and_its_loss_the_firsts():
    first, second = translators.model(), translators.model()
    batch = translators.ragged()
    both = EnsembleModel([first, second])
    said = [model.stepper(batch).start().log_probs.exp() for model in (first, second)]
    torch.testing.assert_close(both.stepper(batch).start().log_probs.exp(), sum(said) / 2)
    assert torch.equal(both(batch)[0], first(batch)[0])
    assert [name for name, *_ in both.layers(batch)] == ["encoder", "decoder"]
    assert both.shows_attention
    assert not EnsembleModel([translators.model(attention="none")]).shows_attention
