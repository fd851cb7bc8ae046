"""Translation from files to outputs, through the Python interface."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

import recurra
from recurra.cells import Cell
from recurra.contracts import Batch
from recurra.data.pair_vocabularies import encode_line
from recurra.decode import BeamConfig, Hypothesis
from recurra.errors import ConfigError, DataError, RunError, ShapeError
from recurra.metrics.by_name import METRICS, score_outputs
from recurra.metrics.records import evaluations
from recurra.models.encoder_decoder import EncoderDecoder
from recurra.tasks import translation_search, translations
from recurra.tasks.job import TaskJob
from recurra.tasks.opened import OpenedRun
from recurra.tasks.translate import TASK, EvaluationConfig
from reversal import config, reverse, write_pairs
from translating import evaluate, scored, translate

TINY = {"hidden_size": 6, "embedding_size": 5, "backend": "reference"}
LINES = ["a b c", "", "g", "d zzz e f", "  \t", "b a", "c c d e f", "f name b", "a b c d e f g a b"]


class Leaky(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        return 0.5 * h + 0.5 * affine("candidate", h).tanh()


class Stiff(Leaky):
    def step(self, affine, h):
        return 0.75 * h + 0.25 * affine("candidate", h).tanh()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("translate")


@pytest.fixture(scope="module")
def trained(folder):
    """Words that come once are unknown, so the model learns where an unknown word goes."""
    train = write_pairs(folder / "train.tsv", 600, names=True)
    data = {"minimum_count": 2, "max_length": 8}
    return recurra.train(config(train, data, epochs=9, evaluate_every=40), out=folder / "run")


@pytest.fixture(scope="module")
def corpus(trained):
    return TASK.load_data(trained.config, trained.vocabularies)


@pytest.fixture
def double(trained):
    """The same run in float64, opened anew."""
    run = recurra.load(trained.path)
    run.model.double()
    return run


@pytest.fixture(scope="module")
def pairs(folder):
    return write_pairs(folder / "pairs.tsv", 60, seed=11)


def weights(run):
    return {name: value.clone() for name, value in run.model.state_dict().items()}


# -------------------------------------------------------------------- training


def test_reversal_is_learned(trained):
    assert trained.result.metrics["valid_loss"] < 0.2
    draw = random.Random(8)
    lines = [" ".join(draw.sample("abcdefg", 4)) for _ in range(40)]
    right = [one.outputs[0].text == reverse(one.source) for one in translate(trained, lines)]
    assert sum(right) > 32


def test_the_weights_of_the_best_score_are_kept(trained):
    scores = {row["step"]: row["valid_exact_match"] for row in evaluations(trained.directory.metrics())[1:]}
    assert len(scores) > 2
    assert min(scores.values()) < max(scores.values()) == scores[trained.result.best_step]
    kept = evaluate(trained, greedy=True).scores["exact_match"].value
    assert kept == max(scores.values())


@pytest.mark.parametrize("metric", list(METRICS))
def test_the_criterion_is_lower_where_a_score_is_better(trained, corpus, metric):
    """Whether higher figures are the better ones or lower; a model with weaker weights is worse by each metric."""
    worse = recurra.load(trained.path)
    with torch.no_grad():
        for parameter in worse.model.parameters():
            parameter.mul_(0.5)
    evaluation = EvaluationConfig(metrics=[metric, "exact_match"], allow_tokenised=True)
    settings = dataclasses.replace(trained.config, evaluation=evaluation)
    good, bad = (TaskJob(TASK, run.model, corpus, settings).evaluate() for run in (trained, worse))
    assert good.criterion < bad.criterion
    good_score, bad_score = good.scores[metric].value, bad.scores[metric].value
    assert abs(good.criterion) == good_score != bad_score == abs(bad.criterion)


def test_the_loss_is_the_criterion_where_it_is_asked_for(trained, corpus):
    evaluation = EvaluationConfig(metrics=["exact_match"], best="loss")
    settings = dataclasses.replace(trained.config, evaluation=evaluation)
    evaluation = TaskJob(TASK, trained.model, corpus, settings).evaluate()
    assert evaluation.criterion == evaluation.loss
    assert set(evaluation.figures()) == {
        "loss",
        "perplexity",
        "exact_match",
    }


def test_a_loaded_run_is_the_trained_one(trained, pairs):
    again = recurra.load(trained.path)
    both = [
        [[(one.text, one.log_prob) for one in line.outputs] for line in translate(run, LINES)]
        for run in (trained, again)
    ]
    assert both[0] == both[1]
    assert evaluate(trained, [str(pairs)]).as_dict() == evaluate(again, [str(pairs)]).as_dict()
    assert (trained.path / "plots" / "training.png").stat().st_size > 5000


def test_interrupted_and_resumed_ends_with_the_same_weights(pairs, tmp_path):
    """With dropout, drawn inputs and several evaluations, stopped in mid-epoch."""
    model = {"hidden_size": 10, "dropout": 0.3, "scheduled_sampling": 0.3, "backend": "reference"}
    settings = config(pairs, model=model, batch_tokens=80, steps=9, save_every=4, evaluate_every=3)
    whole = recurra.train(settings, out=tmp_path / "whole")
    original, steps = EncoderDecoder.forward, []

    def interrupting(model, batch, state=None):
        steps.append(model.training)
        if sum(steps) == 7:
            raise KeyboardInterrupt
        return original(model, batch, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EncoderDecoder, "forward", interrupting)
        with pytest.raises(KeyboardInterrupt):
            recurra.train(settings, out=tmp_path / "part")
    resumed = recurra.resume(tmp_path / "part")
    assert resumed.result.step == 9
    assert weights(whole).keys() == weights(resumed).keys()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    rows = [
        [{k: v for k, v in row.items() if "second" not in k} for row in run.directory.metrics()]
        for run in (whole, resumed)
    ]
    assert rows[0] == rows[1]
    assert [row["step"] for row in evaluations(rows[0])] == [0, 3, 6, 9]


def test_a_users_own_cell_is_named_by_the_caller(pairs, tmp_path, capsys):
    settings = config(pairs, model=TINY, steps=2)
    run = recurra.train(settings, out=tmp_path / "run", cell=Leaky)
    with pytest.raises(RunError, match=r"--model\.cell FILE\.py:Leaky"):
        recurra.load(tmp_path / "run")
    again = recurra.load(tmp_path / "run", cell=Leaky)
    assert [one.outputs[0].log_prob for one in translate(again, ["a b"])] == [
        one.outputs[0].log_prob for one in translate(run, ["a b"])
    ]
    with pytest.raises(RunError, match="equations"):
        recurra.resume(tmp_path / "run", cell=Stiff)


def test_resume_refuses_other_pairs(pairs, tmp_path):
    train = tmp_path / "pairs.tsv"
    train.write_text(pairs.read_text())
    recurra.train(config(train, model=TINY, steps=1), out=tmp_path / "run")
    train.write_text(pairs.read_text() + "a\ta\n")
    with pytest.raises(RunError, match=r"(vocabulary|data\.train) is not what"):
        recurra.resume(tmp_path / "run")


def test_what_is_not_learned_from_is_said(pairs, tmp_path, capsys):
    train = tmp_path / "pairs.tsv"
    train.write_text(pairs.read_text() + "\ta\nb\t\na b c d e f g a b\ta\n")
    TASK.load_data(config(train, {"max_length": 7, "valid": [str(pairs)]}), None)
    assert capsys.readouterr().err == (
        "recurra: train: of 63 pairs 2 with an empty side left out, 1 longer than 7 symbols left out.\n"
    )
    TASK.load_data(config(train, {"max_length": 7, "valid": [str(pairs)], "long_lines": "truncate"}), None)
    assert "1 cut to 7 symbols" in capsys.readouterr().err


def test_files_of_different_length_leave_no_run(tmp_path):
    (tmp_path / "source").write_text("a\nb b\nc c c\n")
    (tmp_path / "target").write_text("a\nb b\n")
    files = {"train": [], "train_source": ["source"], "train_target": ["target"]}
    files = {key: [str(tmp_path / name) for name in names] for key, names in files.items()}
    settings = config(tmp_path)
    settings = dataclasses.replace(settings, data=dataclasses.replace(settings.data, **files))
    with pytest.raises(DataError, match=r"source has 3 lines and .*target has 2"):
        recurra.train(settings, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -------------------------------------------------------------------- translate


@pytest.mark.parametrize("how", [{"beam": BeamConfig(3, n_best=2)}, {"greedy": True}])
def test_neighbours_and_their_order_change_nothing(double, monkeypatch, how):
    monkeypatch.setattr(translation_search, "SOURCES_AT_ONCE", 3)
    together = list(translate(double, LINES, **how))
    backwards = list(translate(double, LINES[::-1], **how))[::-1]
    alone = [next(translate(double, [line], **how)) for line in LINES]
    for one, *others in zip(together, backwards, alone, strict=True):
        for other in others:
            assert other.source == one.source
            assert [found.tokens for found in other.outputs] == [found.tokens for found in one.outputs]
            scores = [(found.score, found.log_prob) for found in one.outputs]
            for found, score in zip(other.outputs, scores, strict=True):
                assert (found.score, found.log_prob) == pytest.approx(score, rel=1e-12)


def test_lines_stay_aligned(trained):
    found = list(translate(trained, LINES))
    assert [one.source for one in found] == LINES
    for number in (1, 4):
        assert found[number].tokens == []
        assert [(one.text, one.log_prob, one.tokens) for one in found[number].outputs] == [("", 0.0, [])]
    assert [one.unknown for one in found] == [0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert [one.truncated for one in found] == [False] * 8 + [True]
    assert found[8].tokens == [*"abcdefg", "<eos>"]
    assert found[0].outputs[0].attention.shape[0] == len(found[0].outputs[0].tokens)


def test_n_best_only_truncates(double):
    wide = list(translate(double, LINES, BeamConfig(4, n_best=4)))
    narrow = list(translate(double, LINES, BeamConfig(4, n_best=2)))
    for all_four, first_two in zip(wide, narrow, strict=True):
        shown = [(one.text, one.score) for one in all_four.outputs]
        assert [(one.text, one.score) for one in first_two.outputs] == shown[:2]
        assert [score for _, score in shown] == sorted((score for _, score in shown), reverse=True)
    assert len(wide[0].outputs) == 4


def test_greedy_keeps_to_the_limits(trained):
    def tokens(**limits):
        (found,) = translate(trained, ["a b c"], BeamConfig(**limits), greedy=True)
        return found.outputs[0].tokens

    assert len(tokens(min_length=6)) >= 6
    assert tokens(max_length=2)[1:] == ["<eos>"]
    repeated = tokens(min_length=9, max_length=9, no_repeat_ngram=1)[:-1]
    assert len(set(repeated)) == len(repeated) == 8


def test_unknown_words_are_copied_from_where_the_attention_is(trained):
    draw = random.Random(2)
    lines = []
    for number in range(30):
        words = [draw.choice("abcdefg") for _ in range(4)]
        words[number % 4] = f"person{number}"
        lines.append(" ".join(words))
    lines.append("a b c d e f person30 person31 person32")  # cut after the seventh word
    copied = list(translate(trained, lines, copy_unknown=True))
    right = seen = 0
    for one, plain in zip(copied, translate(trained, lines), strict=True):
        output, words = one.outputs[0], one.source.split()[:7]
        assert output.tokens == plain.outputs[0].tokens
        expected = [
            words[int(output.attention[place, : len(words)].argmax())] if token == "<unk>" else token
            for place, token in enumerate(output.tokens[:-1])
        ]
        assert output.text.split() == expected
        seen += "<unk>" in output.tokens
        right += output.text == reverse(one.source)
    assert seen > 20
    assert right > 20


def test_the_end_of_a_cut_line_is_no_word_to_copy(trained, monkeypatch):
    """What attends to <eos> most copies the next best word, and never one that was cut off."""
    attention = torch.tensor([0.1, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.7]).repeat(2, 1)
    found = Hypothesis(torch.tensor([1, 0]), -1.0, -1.0, attention, True)
    monkeypatch.setattr(translations, "search_lines", lambda *_: {0: [found]})
    (one,) = translate(trained, ["a b c d e f g lost lost"], copy_unknown=True)
    assert one.outputs[0].text == "c"


def test_an_ensemble_with_itself_is_the_model_and_another_member_counts(double, folder, pairs):
    other = recurra.load(folder / "run")
    other.model.double()
    alone = [one.outputs[0] for one in translate(double, LINES)]
    same = [one.outputs[0] for one in translate(double, LINES, others=[other])]
    assert [one.tokens for one in same] == [one.tokens for one in alone]
    assert [one.log_prob for one in same] == pytest.approx([one.log_prob for one in alone], rel=1e-12)
    with torch.no_grad():
        for parameter in other.model.parameters():
            parameter.mul_(0.5)
    mixed = [one.outputs[0] for one in translate(double, LINES, others=[other])]
    assert mixed[0].log_prob != pytest.approx(alone[0].log_prob, rel=1e-3)
    sources, outputs, _ = scored(evaluate(double, [pairs], others=[other]))
    assert outputs == [one.outputs[0].text for one in translate(double, sources, others=[other])]


def test_weights_that_are_not_numbers_are_said(double):
    with torch.no_grad():
        next(iter(double.model.parameters())).fill_(float("nan"))
    with pytest.raises(ShapeError, match="NaN"):
        list(translate(double, ["a b"]))


def untrained(trained, settings):
    """A run with new weights; it lies in the folder of the trained one."""
    data = TASK.load_data(settings, None)
    opened = OpenedRun(TASK, trained.directory, trained.opened.record, settings)
    return recurra.Run(opened, TASK.build_model(settings, data.vocabularies, None), data)


def test_what_a_run_cannot_do_is_refused_at_once(trained, pairs):
    blind = untrained(trained, config(pairs, model={**TINY, "attention": "none"}))
    for how, message in (
        ({"greedy": True, "beam": BeamConfig(n_best=2)}, "n_best: greedy decoding finds one"),
        ({"beam": BeamConfig(coverage_penalty=0.2)}, "coverage_penalty: this model has no attention"),
        ({"copy_unknown": True}, "copy_unknown: follows the attention"),
    ):
        with pytest.raises(ConfigError, match=message):
            translate(blind, [], **how)
    with pytest.raises(RunError, match="has other vocabularies than"):
        translate(trained, [], others=[blind])
    with pytest.raises(RunError, match="has other vocabularies than"):
        evaluate(trained, others=[blind])
    spelling = untrained(trained, config(pairs, {"source_vocabulary": "characters"}, TINY))
    with pytest.raises(ConfigError, match="this run's symbols are characters and words"):
        translate(spelling, [], copy_unknown=True)


# -------------------------------------------------------------------- evaluate


def test_evaluation_scores_what_is_translated(double, tmp_path):
    """Repeated sources count once, with all their references; the loss is over every pair."""
    test = tmp_path / "test.tsv"
    rows = [("a b", "b a"), ("c d e", "e d c"), ("a b", "b b"), ("g zzz", "zzz g"), ("f", "f"), ("", "a")]
    test.write_text("".join(f"{source}\t{target}\n" for source, target in rows))
    for how in ({"beam": BeamConfig(2)}, {"greedy": True}):
        found = evaluate(double, [str(test)], **how)
        sources, outputs, references = scored(found)
        assert sources == ["a b", "c d e", "g zzz", "f", ""]
        assert references == [["b a", "b b"], ["e d c"], ["zzz g"], ["f"], ["a"]]
        lines = [one.outputs[0].text for one in translate(double, sources, **how)]
        assert outputs == lines
        expected = score_outputs(["exact_match", "bleu"], lines, references, allow_tokenised=True)
        assert {name: found.scores[name].value for name in expected} == {
            name: score.value for name, score in expected.items()
        }
    by_hand, vocabularies = 0.0, double.vocabularies
    for source, target in rows[:-1]:
        sides = [torch.from_numpy(ids)[None] for ids in (
            encode_line(vocabularies["source"], source)[0], encode_line(vocabularies["target"], target)[0]
        )]  # fmt: skip
        lengths = [torch.tensor([ids.shape[1]]) for ids in sides]
        loss, tokens, _ = double.model(Batch(sides[0], sides[1], int(lengths[1]), lengths[0], lengths[1]))
        assert tokens == len(target.split()) + 1
        by_hand += float(loss.detach())
    assert found.loss * found.tokens == pytest.approx(by_hand, rel=1e-12)
    assert found.tokens == 15


def test_evaluation_without_files_takes_the_validation_pairs(trained):
    found = evaluate(trained, greedy=True)
    best = {row["step"]: row for row in trained.directory.metrics()}[trained.result.best_step]
    assert found.loss == pytest.approx(best["valid_loss"], rel=1e-6)
    assert found.scores["exact_match"].value == best["valid_exact_match"]


def test_an_unknown_tokeniser_is_refused_before_anything_is_written(pairs, tmp_path):
    settings = config(pairs, model=TINY, steps=1)
    evaluation = dataclasses.replace(settings.evaluation, tokenize="itnl")
    with pytest.raises(ConfigError, match=r"tokenize: .* Did you mean 'intl'"):
        recurra.train(dataclasses.replace(settings, evaluation=evaluation), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
