"""Language modelling from files to samples, through the Python interface."""

import json
import math

import pytest
import torch

import cases
import recurra
from recurra.cells import Cell
from recurra.data.batches import evaluation_batches
from recurra.errors import ConfigError, DataError, RunError
from recurra.inspection.curves import plot_training
from recurra.models.language_model import LanguageModel
from recurra.tasks.lm import TASK, LMEvaluateOptions
from recurra.training.config import TrainingConfig

TEXT = "the cat sat on the mat.\nthe dog sat on the log.\nwhere is the cat? on the mat.\n" * 12


class MyCell(Cell):
    gates = ("forget", "candidate")

    def step(self, affine, h):
        forget = affine("forget", h).sigmoid()
        candidate = affine("candidate", forget * h).tanh()
        return (1 - forget) * h + forget * candidate


class OtherCell(MyCell):
    def step(self, affine, h):
        forget = affine("forget", h).sigmoid()
        candidate = affine("candidate", forget * h).tanh()
        return (1 - forget) * candidate + forget * h


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


def config(text, data=None, model=None, **training):
    steps = {"steps": 12, "batch_size": 3, "bptt": 8, "device": "cpu"} | training
    return recurra.LMConfig(
        data=recurra.TextConfig(train=[str(text)], **(data or {})),
        model=recurra.LanguageModelConfig(**({"hidden_size": 12, "embedding_size": 6} | (model or {}))),
        training=TrainingConfig(**steps),
    )


def nats(evaluation):
    return evaluation.loss * evaluation.tokens


def weights(run):
    return {name: value.clone() for name, value in run.model.state_dict().items()}


@pytest.mark.parametrize(
    ("data", "model"),
    [
        ({}, {"cell": "lstm"}),
        ({"layout": "lines"}, {"cell": "gru", "num_layers": 2, "dropout": 0.2}),
        ({"vocabulary": "words", "minimum_count": 2}, {"tied": True, "embedding_size": 12}),
        ({"vocabulary": "bytes"}, {"input": "one_hot", "cell": "elman"}),
        ({"vocabulary": "words", "layout": "lines"}, {"cell": "layer_norm_lstm", "sampled_softmax": 5}),
    ],
)
def test_train_load_sample_score_evaluate(text, tmp_path, data, model):
    run = recurra.train(config(text, data, model), out=tmp_path / "run")
    assert run.result.reason == "steps"
    again = recurra.load(tmp_path / "run")
    line = "the cat sat."
    (first,), (second,) = run.predict([line]), again.predict([line])
    assert first == second
    assert first.perplexity == pytest.approx(math.exp(-first.log_prob / len(first.tokens)))
    assert again.sample("the", n=2, seed=3, max_length=9) == run.sample("the", n=2, seed=3, max_length=9)
    assert run.evaluate().loss == pytest.approx(again.evaluate().loss, rel=1e-6)
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == 12
    titles = [axes.get_title(loc="left") for axes in plot_training(records).axes]
    assert titles[0] == "Loss"
    assert "Validation scores" not in titles  # a language model has none
    assert (tmp_path / "run" / "plots" / "training.png").stat().st_size > 5000


def test_notes_train_and_sample(tmp_path):
    path = tmp_path / "notes.json"
    sequence = [[60, 64, 67], [60, 65], [], [62]] * 5
    path.write_text(json.dumps({"train": [sequence] * 4, "valid": [sequence], "test": [sequence[:7]]}))
    run = recurra.train(config(path, {"vocabulary": "notes"}), out=tmp_path / "run")
    assert run.evaluate().tokens == 7
    assert len(run.sample(n=1, max_length=5, seed=1)[0].splitlines()) == 5
    with pytest.raises(ConfigError, match="note sets"):
        run.predict(["60"])


def test_interrupted_and_resumed_ends_with_the_same_weights(text, tmp_path):
    """With dropout, a schedule over the run, and the state carried in mid-epoch."""
    model = {"num_layers": 2, "dropout": 0.3}
    whole = recurra.train(config(text, model=model, steps=20, save_every=7), out=tmp_path / "whole")
    original, steps = LanguageModel.forward, []

    def interrupting(model, batch, state=None):
        steps.append(model.training)
        if sum(steps) == 9:
            raise KeyboardInterrupt
        return original(model, batch, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LanguageModel, "forward", interrupting)
        with pytest.raises(KeyboardInterrupt):
            recurra.train(config(text, model=model, steps=20, save_every=7), out=tmp_path / "part")
    resumed = recurra.resume(tmp_path / "part")
    assert resumed.result.step == 20
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_resume_refuses_changed_data(text, tmp_path):
    recurra.train(config(text), out=tmp_path / "run")
    text.write_text(TEXT + "more\n")
    with pytest.raises(RunError, match="changed"):
        recurra.resume(tmp_path / "run")


def test_a_users_own_cell_is_named_by_the_caller(text, tmp_path, capsys):
    run = recurra.train(config(text), out=tmp_path / "run", cell=MyCell)
    assert run.config.model.cell == "MyCell"
    with pytest.raises(RunError, match=r"--model\.cell FILE\.py:MyCell"):
        recurra.load(tmp_path / "run")
    assert recurra.load(tmp_path / "run", cell=MyCell).predict(["on"]) == run.predict(["on"])
    with pytest.raises(RunError, match="equations"):
        recurra.resume(tmp_path / "run", cell=OtherCell)
    recurra.load(tmp_path / "run", cell=OtherCell)
    assert "equations" in capsys.readouterr().err


def test_evaluation_counts_every_token_and_does_not_depend_on_the_window(text, tmp_path):
    run = recurra.train(config(text), out=tmp_path / "run")
    held_out = TEXT[int(0.9 * len(TEXT)) :]
    score = run.evaluate()
    assert score.tokens == score.counts["characters"] == len(held_out)
    other = tmp_path / "held_out.txt"
    other.write_text(held_out)
    assert nats(run.evaluate({"test": [other]})) == pytest.approx(nats(score), rel=1e-6)
    other.write_text(TEXT * 3)  # long enough for several streams
    cases.randomise(run.model.double(), scale=2.0)  # so that it matters what a stream begins with
    long = recurra.data.corpus.load_test([other], config(text).data, run.vocabularies)
    by_hand, state = 0.0, None
    for batch in evaluation_batches(long, 1, window=7):
        loss, _, state = run.model(batch, state)
        by_hand += loss.item()
    assert nats(run.evaluate({"test": [other]})) == pytest.approx(by_hand, rel=1e-5)
    in_streams = TASK.evaluate(run.model, long, run.config, run.vocabularies, LMEvaluateOptions(3))
    assert in_streams.tokens == 3 * len(TEXT)
    assert abs(nats(in_streams) - by_hand) > 1e-4 * by_hand


def test_the_tokens_of_lines_are_those_of_the_text_and_not_the_padding(text, tmp_path):
    run = recurra.train(config(text, {"layout": "lines"}), out=tmp_path / "run")
    other = tmp_path / "ragged.txt"
    other.write_text("the cat\n\non\nwhere is the dog? on the log, on the mat.\na\n")
    score = run.evaluate({"test": [other]})
    assert score.tokens == score.counts["characters"] == len(other.read_text())
    alone = run.predict(other.read_text().splitlines())
    assert nats(score) == pytest.approx(-sum(line.log_prob for line in alone), rel=1e-5)


def test_scores_do_not_depend_on_their_neighbours(text, tmp_path):
    run = recurra.train(config(text, {"layout": "lines"}), out=tmp_path / "run")
    lines = ["the cat", "", "a dog sat on the mat with the cat", "é"]
    together = run.predict(lines)
    for line, score in zip(lines, together, strict=True):
        (alone,) = run.predict([line])
        assert alone.token_log_probs == pytest.approx(score.token_log_probs, rel=1e-4, abs=1e-5)
    assert [score.unknown for score in together] == [0, 0, 0, 1]
    assert together[1].tokens == ["<eos>"]


def test_sampling_stops_where_the_layout_says(text, tmp_path):
    lines = recurra.train(config(text, {"layout": "lines"}), out=tmp_path / "lines")
    assert all(sample.count("\n") <= 1 for sample in lines.sample(n=20, max_length=300, seed=0))
    running = recurra.train(config(text), out=tmp_path / "continuous")
    assert any("\n" in sample[:-1] for sample in running.sample(n=5, max_length=300, seed=0))
    stopping = running.sample(n=5, max_length=300, seed=0, stop_at_line_end=True)
    assert all("\n" not in sample[:-1] for sample in stopping)


def test_what_is_unknown_is_never_drawn(text, tmp_path):
    """However probable the model finds it."""
    data = {"vocabulary": "words", "minimum_count": 20}
    run = recurra.train(config(text, data), out=tmp_path / "run")
    assert "<unk>" in run.vocabularies["text"].symbols
    with torch.no_grad():
        run.model.output_bias[run.vocabularies["text"].unk_id] = 20.0
    assert not any("<unk>" in sample for sample in run.sample(n=4, max_length=20, seed=1))
    assert run.predict(["unheard of"])[0].unknown == 2


@pytest.mark.parametrize(
    ("training", "error", "message"),
    [
        ({"batch_size": 500}, DataError, "largest batch_size that fits"),
        ({"device": "cuda"}, ConfigError, "training.device"),
    ],
)
def test_what_cannot_be_trained_leaves_no_directory(text, tmp_path, training, error, message):
    if training.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(error, match=message):
        recurra.train(config(text, **training), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_unless_asked(text, tmp_path):
    recurra.train(config(text, steps=1), out=tmp_path / "run")
    with pytest.raises(RunError, match="holds a run already"):
        recurra.train(config(text, steps=2), out=tmp_path / "run")
    assert recurra.train(config(text, steps=2), out=tmp_path / "run", overwrite=True).result.step == 2


@pytest.mark.parametrize("damage", ["model: 3\n", "data: {trian: []}\n", "[1, 2]\n", ": :\n", ""])
def test_a_damaged_configuration_is_said_in_one_line(text, tmp_path, damage):
    recurra.train(config(text, steps=1), out=tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(damage)
    with pytest.raises(RunError, match=r"config\.yaml") as error:
        recurra.load(tmp_path / "run")
    assert "\n" not in str(error.value)
