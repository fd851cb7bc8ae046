"""What the training loop asks of a job, on the one that its other tests train, and what it is trained by."""

from __future__ import annotations

from dataclasses import replace

import torch

from recurra.training.config import TrainingConfig
from recurra.training.job import Job, Settings
from recurra.training.optimiser_config import OptimiserConfig
from recurra.training.schedule import ScheduleConfig
from training.tiny import TinyJob


@torch.no_grad()
def test_a_job_gives_batches_by_epoch_a_loss_and_an_evaluation():
    job: Job = TinyJob()
    first, again, other = job.batches(0), job.batches(0), job.batches(1)
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a.inputs, b.inputs) for a, b in zip(first, other, strict=True))
    assert [batch.continues for batch in first] == [False, *[True] * (len(first) - 1)]
    loss, count, state = job.model(first[0], None)
    assert (loss.shape, count) == ((), first[0].tokens)
    loss_after, _, _ = job.model(first[1], state)
    assert loss_after.isfinite()
    assert job.starting_loss().tokens <= job.starting_loss().tokens_in_all
    evaluation = job.evaluate()
    assert evaluation.criterion == evaluation.loss


def test_settings_are_plain_values_and_say_which_of_them_stay():
    settings = Settings(
        TrainingConfig(threads=1), OptimiserConfig(), ScheduleConfig(), environment={"backend": "cpu"}
    )
    assert settings.values()["optimiser.betas"] == [0.9, 0.99]
    assert settings.fixed()["training.batch_size"] == "its position in an epoch counts batches of this size"
    # A path may be written otherwise when the run is resumed, and names the same folder.
    assert settings.fixed().keys() - settings.values().keys() == {"training.start_from"}
    assert replace(settings, evaluation={"evaluation.aim": 1.0}).values()["evaluation.aim"] == 1.0
    assert settings.facts(torch.device("cpu")) == {
        "torch": torch.__version__,
        "threads": "1",
        "device": "cpu",
        "backend": "cpu",
    }
