"""What an evaluation says of its loss, counts and scores."""

from __future__ import annotations

import pytest

from recurra.metrics.evaluation import Evaluation, Table
from recurra.metrics.score import Score

SCORES = {
    "bleu": Score("bleu", 31.5, True, "by sacrebleu"),
    "perplexity": Score("perplexity", 4.25, False, "7 tokens"),
    "bits_per_character": Score("bits_per_character", 1.5, False, "7 tokens"),
}


def evaluation(**fields: object) -> Evaluation:
    return Evaluation(1.25, {"tokens": 7, "characters": 31}, SCORES, **fields)


@pytest.mark.parametrize(("best_by", "expected"), [(None, 1.25), ("bleu", -31.5), ("perplexity", 4.25)])
def test_the_criterion_is_the_loss_or_the_deciding_score(best_by, expected):
    assert evaluation(best_by=best_by).criterion == expected


def test_figures_with_and_without_the_counts():
    figures = {"loss": 1.25, "bleu": 31.5, "perplexity": 4.25, "bits_per_character": 1.5}
    assert evaluation().figures() == figures
    with_counts = evaluation().all_figures()
    assert with_counts == figures | {"tokens": 7, "characters": 31}
    assert list(with_counts) == ["loss", "tokens", "characters", "bleu", "perplexity", "bits_per_character"]
    assert evaluation().tokens == 7


def test_signatures_by_name_and_without_repetitions():
    assert evaluation().signatures == ["by sacrebleu", "7 tokens"]
    values = evaluation().as_dict()
    assert values.pop("signatures") == {name: score.signature for name, score in SCORES.items()}
    assert values == evaluation().all_figures()


def test_an_evaluation_may_have_a_loss_only():
    bare = Evaluation(0.5, {"tokens": 3})
    assert (bare.figures(), bare.criterion, bare.signatures) == ({"loss": 0.5}, 0.5, [])
    assert bare.as_dict() == {"loss": 0.5, "tokens": 3, "signatures": {}}
    assert (bare.tables, bare.notes) == ({}, ())


def test_tables_and_notes_stay_out_of_the_figures():
    table = Table(["output", "reference"], [["a dog", "the dog"], ["", "it"]])
    full = evaluation(tables={"outputs": table}, notes=["100 hypotheses are tokenised"])
    assert full.tables["outputs"].rows[1] == ["", "it"]
    assert full.as_dict() == evaluation().as_dict()


def test_unknown_tokens_are_counted_and_noted_where_there_are_some():
    none, some = evaluation().with_unknown(0), evaluation(notes=["other"]).with_unknown(2)
    assert (none.counts["unknown"], none.notes) == (0, [])
    assert list(some.all_figures())[:4] == ["loss", "tokens", "characters", "unknown"]
    assert some.notes == [
        "other",
        "2 of 7 symbols (28.6 %) are unknown to the vocabulary; each costs what <unk> does, so compare costs only over "
        "the same symbols.",
    ]
