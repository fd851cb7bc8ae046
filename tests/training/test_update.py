"""What one update computes: gradients per token over all its windows, the state between them, clipping."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from recurra.training.config import TrainingConfig
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig
from training.tiny import ROWS, Setup, TinyJob


class UnequalJob(TinyJob):
    """Every second window is two steps shorter; no dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.model.dropout.p = 0.0

    def batches(self, epoch):
        return [
            dataclasses.replace(
                batch,
                inputs=batch.inputs[:, : batch.inputs.shape[1] - 2 * (index % 2)],
                targets=batch.targets[:, : batch.targets.shape[1] - 2 * (index % 2)],
                tokens=batch.tokens - 2 * ROWS * (index % 2),
            )
            for index, batch in enumerate(super().batches(epoch))
        ]


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_one_update_is_the_hand_written_one(tmp_path, clip_norm):
    """Two updates of two unequal windows each: mean per token over both, state carried and detached, clipped."""
    setup = Setup(
        TrainingConfig(steps=2, accumulate=2, clip_norm=clip_norm),
        OptimiserConfig("sgd", learning_rate=0.5, momentum=0.9),
        ScheduleConfig("linear", warmup_steps=0),
    )
    job, other = UnequalJob(), UnequalJob()
    setup.train(tmp_path / "run", job)

    batches, state = other.batches(0), None
    optimiser = torch.optim.SGD(other.model.parameters(), lr=0.5, momentum=0.9)
    for pair, rate in ((batches[:2], 0.5), (batches[2:4], 0.25)):
        assert pair[0].tokens > pair[1].tokens
        optimiser.zero_grad()
        total = 0.0
        for batch in pair:
            loss, tokens, state = other.loss(batch, state)
            assert tokens == batch.targets.numel()
            state = state.detach()
            total = total + loss
        (total / sum(batch.tokens for batch in pair)).backward()
        norm = nn.utils.clip_grad_norm_(other.model.parameters(), clip_norm or float("inf"))
        assert norm > 0.05
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
    for mine, theirs in zip(job.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_state_is_carried_where_a_batch_continues_and_nowhere_else(tmp_path):
    job = TinyJob()
    Setup.of(epochs=2).train(tmp_path / "run", job)
    assert job.states_given == [False, *[True] * 5] * 2
