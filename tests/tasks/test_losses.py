"""The loss over batches: carried state, evaluation mode, true counts."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.contracts import Batch
from recurra.models.language_model import LanguageModel
from recurra.models.language_model_config import LanguageModelConfig
from recurra.tasks.losses import summed_loss


def test_windows_that_continue_cost_what_the_whole_costs():
    """In evaluation mode, whatever mode the model is in, which it keeps."""
    model = (
        LanguageModel(LanguageModelConfig(hidden_size=7, embedding_size=5, dropout=0.5), 9).double().train()
    )
    cases.randomise(model)
    ids = torch.randint(9, (3, 11))
    inputs = torch.cat([torch.full((3, 1), -1), ids[:, :-1]], 1)
    lengths = torch.tensor([11, 4, 0])
    windows = [
        Batch(inputs[:, a:b], ids[:, a:b], 0, (lengths - a).clamp(0, b - a), continues=a > 0)
        for a, b in ((0, 4), (4, 9), (9, 11))
    ]
    windows = [
        Batch(w.inputs, w.targets, int(w.lengths.sum()), w.lengths, continues=w.continues) for w in windows
    ]
    nats, count = summed_loss(model, windows)
    assert model.training
    whole, tokens = summed_loss(model, [Batch(inputs, ids, 15, lengths)])
    assert (count, tokens) == (15, 15)
    assert nats == pytest.approx(whole, rel=1e-12)
    afresh = [Batch(w.inputs, w.targets, w.tokens, w.lengths) for w in windows]
    assert summed_loss(model, afresh)[0] != pytest.approx(whole, rel=1e-3)
    assert all(parameter.grad is None for parameter in model.parameters())
