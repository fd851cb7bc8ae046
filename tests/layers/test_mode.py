"""Evaluation mode for a while."""

from __future__ import annotations

import pytest
from torch import nn

from recurra.layers.mode import evaluating


def test_each_module_returns_to_its_own_mode():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2)))
    model.train()
    model[1][0].eval()
    modes = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ZeroDivisionError), evaluating(model):
        1 / 0  # noqa: B018
    assert [module.training for module in model.modules()] == modes
    assert modes == [True, True, True, False, True]
