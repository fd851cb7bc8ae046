"""The two kinds of lines in `metrics.jsonl`."""

from __future__ import annotations

from recurra.metrics.records import evaluations, training


def test_evaluations_and_training_are_told_apart():
    trained, judged = {"step": 1, "train_loss": 2.0}, {"step": 1, "train_loss": 3.0, "valid_bleu": None}
    assert evaluations([trained, judged]) == [judged]
    assert training([trained, judged]) == [trained]
    assert training([judged]) == [judged]  # of a run of version 0.1
    assert evaluations([]) == training([]) == []
