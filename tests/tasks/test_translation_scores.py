"""How translations are judged: by the metrics of the configuration."""

from __future__ import annotations

import math

import pytest

import recurra
from recurra.metrics.perplexity import Cost
from recurra.tasks.translation_scores import OUTPUTS, evaluation_of, score_texts

REFERENCES = [["a dog", "the dog"], ["red"], ["the woman eats"]]
OUTPUT = ["the dog", "red", "the woman"]


def config_with(metrics: list[str], **options) -> recurra.TranslateConfig:
    return recurra.TranslateConfig(
        evaluation=recurra.EvaluationConfig(metrics=metrics, **options),
    )


def test_each_metric_is_asked_once_and_has_its_recipe():
    scores = score_texts(config_with(["exact_match", "bleu"], tokenize="none"), OUTPUT, REFERENCES)
    assert list(scores) == ["exact_match", "bleu"]
    assert scores["exact_match"].value == pytest.approx(200 / 3)
    assert all(score.signature for score in scores.values())


def test_case_matters_unless_it_is_told_not_to():
    shouted = [text.upper() for text in OUTPUT]
    for lowercase, right in ((False, 0.0), (True, 200 / 3)):
        scores = score_texts(config_with(["exact_match"], lowercase=lowercase), shouted, REFERENCES)
        assert scores["exact_match"].value == pytest.approx(right)


@pytest.mark.parametrize(("best", "best_by"), [("loss", None), ("score", "exact_match")])
def test_the_evaluation_has_loss_scores_and_a_table_of_outputs(best, best_by):
    cost = Cost(8.0, 4, 12)
    config = config_with(["exact_match"], best=best)
    evaluation = evaluation_of(config, cost, ["x", "y", "z"], OUTPUT, REFERENCES)
    assert (evaluation.loss, evaluation.counts["tokens"], evaluation.best_by) == (2.0, 4, best_by)
    assert evaluation.scores["perplexity"].value == pytest.approx(math.exp(2))
    assert evaluation.criterion == pytest.approx(2.0 if best == "loss" else -200 / 3)
    table = evaluation.tables[OUTPUTS]
    assert tuple(table.columns) == ("source", "output", "references")
    assert table.rows[0] == ("x", "the dog", "a dog", "the dog")


def test_what_a_metric_remarks_is_a_note():
    tokenised = ["the dog , red ."] * 3
    config = config_with(["bleu"], allow_tokenised=True)
    evaluation = evaluation_of(config, Cost(1.0, 1, 1), ["x"] * 3, tokenised, [[t] for t in tokenised])
    assert len(evaluation.notes) <= 1
    assert all("tokenised" in note for note in evaluation.notes)
