"""Any task as the training loop sees it."""

from __future__ import annotations

import torch

from recurra.tasks import registry
from recurra.tasks.job import TaskJob
from recurra.training.job import Job


def job_of(run) -> TaskJob:
    return TaskJob(registry.find_task("translate"), run.model, run.data, run.config)


def test_batches_are_a_function_of_the_epoch_and_cost_what_the_model_says(word_translator):
    job: Job = job_of(word_translator)
    first, again, other = job.batches(0), job.batches(0), job.batches(1)
    assert [batch.inputs.tolist() for batch in first] == [batch.inputs.tolist() for batch in again]
    assert [batch.inputs.tolist() for batch in first] != [batch.inputs.tolist() for batch in other]
    assert sum(batch.tokens for batch in first) == sum(batch.tokens for batch in other)
    loss, count, state = job.model(first[0], None)
    assert (loss.shape, count, state) == ((), first[0].tokens, None)


def test_the_loss_that_it_starts_from_is_that_of_a_part_of_the_validation_data(word_translator, monkeypatch):
    job = job_of(word_translator)
    whole = job.evaluate()
    start = job.starting_loss()
    assert (start.tokens, start.tokens_in_all) == (whole.tokens, whole.tokens)  # there are few
    assert start.loss == whole.loss
    first = job.task.batches(job.data.valid, job.config, None)[0]
    monkeypatch.setattr("recurra.tasks.job.STARTING_TOKENS", 1)
    start = job.starting_loss()
    assert (start.tokens, start.tokens_in_all) == (first.tokens, whole.tokens)


def test_it_is_judged_as_evaluate_judges_and_without_gradients(word_translator):
    evaluation = job_of(word_translator).evaluate()
    assert evaluation.loss == word_translator.evaluate().loss
    assert torch.is_grad_enabled()
