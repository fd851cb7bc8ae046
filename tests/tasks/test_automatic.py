"""What is chosen where a setting is auto: by the data and the limit, within what the model and the data allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

import recurra
from recurra.data.pairs import PairConfig, PairSizes
from recurra.data.text import TextConfig
from recurra.errors import ConfigError
from recurra.models.language_model_config import LanguageModelConfig
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.settings import automatic_keys, value_at
from recurra.tasks.automatic import (
    describe_chosen,
    kinds_of,
    language_model_values,
    rising,
    settled,
    stepped,
    translator_values,
)
from recurra.tasks.lm import LMConfig
from recurra.tasks.registry import TASKS, find_task
from recurra.tasks.translate import TranslateConfig
from recurra.training.config import PairTrainingConfig, TrainingConfig
from recurra.training.optimiser_config import OptimiserConfig

SENTENCES = PairSizes(20_000, (700_000, 800_000), (130_000, 140_000))
WORDS = PairSizes(20_000, (140_000, 150_000), (20_000, 21_000))


def lm(minutes=None, epochs=None, **model):
    return LMConfig(
        model=LanguageModelConfig(**model), training=TrainingConfig(minutes=minutes, epochs=epochs)
    )


def translate(minutes=None, data=None, **model):
    return TranslateConfig(
        data=data or PairConfig(train=["x.tsv"]),
        model=EncoderDecoderConfig(**model),
        training=PairTrainingConfig(minutes=minutes),
    )


def tiny(text):
    """A run of two updates."""
    return LMConfig(
        data=TextConfig(train=[text]),
        model=LanguageModelConfig(hidden_size=4),
        training=TrainingConfig(steps=2),
    )


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("the cat sat on the mat\nand the dog ran after it\n" * 40, encoding="utf-8")
    return str(file)


@pytest.mark.parametrize("name", TASKS)
def test_every_setting_that_may_be_chosen_is_chosen(name, text, tmp_path):
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("".join(f"one {n}\tun {n} de\n" for n in range(50)), encoding="utf-8")
    task = find_task(name)
    data = TextConfig(train=[text]) if name == "lm" else PairConfig(train=[str(pairs)])
    config = task.config(data=data)
    found, chosen = settled(task, config)
    assert automatic_keys(config)
    assert not automatic_keys(found)
    assert set(chosen) <= set(automatic_keys(config))
    assert all(value_at(found, key) == value for key, value in chosen.items())
    assert settled(task, config) == (found, chosen)
    assert settled(task, found) == (found, {})


def test_what_is_given_stays_and_the_rest_is_chosen(text):
    config = replace(lm(hidden_size=24), data=TextConfig(train=[text]))
    found, chosen = settled(find_task("lm"), config)
    assert found.model.hidden_size == 24
    assert "model.hidden_size" not in chosen
    assert "optimiser.learning_rate" in chosen


def test_more_data_and_more_time_make_wider_models():
    def widths(values):
        return [value["model.hidden_size"] for value in values]

    for found in (
        widths(language_model_values(1_000_000, lm(minutes)) for minutes in (0.5, 3, 20, 200)),
        widths(translator_values(SENTENCES, translate(minutes)) for minutes in (1, 3, 20, 100)),
        widths(
            translator_values(replace(SENTENCES, pairs=pairs), translate(3))
            for pairs in (2000, 20_000, 500_000)
        ),
    ):
        assert found == sorted(set(found)), found


def test_dropout_grows_with_the_passes_over_the_data():
    assert rising(0.1, 1, 0.1) == rising(1, 1, 0.1) == 0
    assert [rising(passes, 1, 0.1) for passes in (2, 8, 1e9)] == [0.1, 0.3, 0.5]
    assert [rising(passes, 3, 0.15) for passes in (3, 6)] == [0, 0.15]
    few, many = (language_model_values(1_000_000, lm(epochs=epochs)) for epochs in (1.0, 40.0))
    assert few["model.dropout"] == 0 < many["model.dropout"]
    by_steps = LMConfig(training=TrainingConfig(steps=100))
    assert language_model_values(1_000_000, by_steps)["model.dropout"] == 0


def test_hidden_weights_are_dropped_where_there_are_some():
    key = "model.regularisation.weight_drop"
    assert language_model_values(10_000, lm(20))[key] == 0.5
    assert language_model_values(100_000_000, lm(3))[key] == 0
    for cell in ("min_gru", "mine"):
        assert key not in language_model_values(10_000, lm(20, cell=cell))


def test_a_short_run_learns_first_what_is_near():
    key = "model.initial_bias"
    for cell, found in (
        ("lstm", {"forget": 0.0}),
        ("coupled_lstm", {"update": 0.0}),
        ("gru", None),
        ("mine", None),
    ):
        assert language_model_values(1_000_000, lm(3, cell=cell)).get(key) == found
    assert key not in language_model_values(1_000_000, lm(60))
    assert key not in language_model_values(1_000_000, lm())


def test_the_rate_suits_the_width_that_is_given():
    def rate(values):
        return values["optimiser.learning_rate"]

    narrow, wide = (language_model_values(1_000_000, lm(3, hidden_size=size)) for size in (64, [900, 1000]))
    assert rate(wide) < rate(language_model_values(1_000_000, lm(3))) < rate(narrow) <= 0.01
    narrow, wide = (translator_values(SENTENCES, translate(3, hidden_size=size)) for size in (32, 1000))
    assert rate(wide) < rate(translator_values(SENTENCES, translate(3))) < rate(narrow) <= 0.005


def test_layers_on_top_of_each_other_are_narrower():
    one, four = (
        language_model_values(1_000_000, lm(3, num_layers=layers))["model.hidden_size"] for layers in (1, 4)
    )
    assert 0.4 * one < four < 0.6 * one


@pytest.mark.parametrize("characters", [0, 1, 7, 40, 300, 2000, 30_000])
def test_a_short_text_gets_batches_that_it_fills(characters):
    values = language_model_values(characters, lm())
    rows, steps = values["training.batch_size"], values["training.bptt"]
    assert rows >= 1
    assert steps >= 1
    assert rows * steps <= max(0.8 * characters, 1)


def test_a_text_of_forty_characters_is_trained_on(tmp_path):
    (tmp_path / "short.txt").write_text("abcd efgh abcd efgh abcd efgh abcd efgh\n", encoding="utf-8")
    run = recurra.train(tiny(str(tmp_path / "short.txt")), out=tmp_path / "run")
    assert run.result.step == 2
    assert not automatic_keys(run.config)
    assert recurra.load(tmp_path / "run").config == run.config


def test_a_tied_embedding_is_as_wide_as_the_last_layer():
    for config, widths in (
        (lm(tied=True), None),
        (lm(tied=True, embedding_size=40), (40, 40)),
        (lm(tied=True, hidden_size=[8, 24]), ([8, 24], 24)),
    ):
        values = {**automatic_keys(config), **language_model_values(1_000_000, config)}
        given = {key: value_at(config, key) for key in ("model.hidden_size", "model.embedding_size")}
        hidden, embedding = (
            values[key] if value == "auto" else value
            for key, value in zip(given, given.values(), strict=True)
        )
        assert embedding == (hidden[-1] if isinstance(hidden, list) else hidden)
        assert widths is None or (hidden, embedding) == widths


def test_plain_gradient_descent_keeps_its_own_rate(text):
    config = LMConfig(data=TextConfig(train=[text]), optimiser=OptimiserConfig("sgd"))
    assert settled(find_task("lm"), config)[0].optimiser.learning_rate == 1.0


def test_sides_are_subwords_or_the_characters_of_single_words():
    assert kinds_of(SENTENCES, PairConfig(train=["x"])) == ("subwords", "subwords")
    assert kinds_of(WORDS, PairConfig(train=["x"])) == ("characters", "characters")
    mixed = replace(WORDS, words=(20_000, 130_000))
    assert kinds_of(mixed, PairConfig(train=["x"])) == ("characters", "subwords")
    assert kinds_of(mixed, PairConfig(train=["x"], joint=True)) == ("subwords", "subwords")
    assert kinds_of(WORDS, PairConfig(train=["x"], joint=True)) == ("characters", "characters")
    words = PairConfig(train=["x"], joint=True, target_vocabulary="words")
    assert kinds_of(SENTENCES, words) == ("words", "words")
    assert kinds_of(WORDS, PairConfig()) == ("characters", "words")


def test_without_sentencepiece_sides_are_words(monkeypatch):
    monkeypatch.setattr("recurra.tasks.automatic.find_spec", lambda _: None)
    values = translator_values(SENTENCES, translate())
    assert values["data.source_vocabulary"] == values["data.target_vocabulary"] == "words"
    assert "data.subword_size" not in values


def test_the_number_of_subwords_is_chosen_only_where_there_are_some():
    assert "data.subword_size" in translator_values(SENTENCES, translate())
    assert "data.subword_size" not in translator_values(WORDS, translate())
    words = PairConfig(train=["x"], source_vocabulary="words", target_vocabulary="characters")
    assert "data.subword_size" not in translator_values(SENTENCES, translate(data=words))
    asked = translate(data=PairConfig(train=["x"], source_vocabulary="subwords"))
    assert "data.subword_size" in translator_values(WORDS, asked)


@pytest.mark.parametrize("heads", [None, 3, 7])
def test_a_transformer_takes_a_width_that_its_heads_divide(heads):
    config = translate(3, architecture="transformer", heads=heads)
    values = translator_values(SENTENCES, config)
    assert "model.embedding_size" not in values
    assert values["model.hidden_size"] % (heads or 32) == 0
    width = values["model.hidden_size"]
    EncoderDecoderConfig(architecture="transformer", heads=heads, hidden_size=width)


def test_a_run_that_starts_from_another_takes_its_model(text, tmp_path):
    data = TextConfig(train=[text])
    first = LMConfig(data=data, model=LanguageModelConfig(hidden_size=12), training=TrainingConfig(steps=2))
    recurra.train(first, out=tmp_path / "first")
    again = LMConfig(
        data=data, training=TrainingConfig(minutes=0.001, steps=2, start_from=str(tmp_path / "first"))
    )
    run = recurra.train(again, out=tmp_path / "second")
    assert run.config.model == recurra.load(tmp_path / "first").config.model
    assert run.config.model.hidden_size == 12


def test_a_run_that_has_begun_chooses_nothing(text, tmp_path):
    recurra.train(tiny(text), out=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"optimiser\.learning_rate: chosen when a run begins"):
        recurra.resume(tmp_path / "run", changes={"training.steps": 3, "optimiser.learning_rate": "auto"})


def test_what_is_chosen_is_printed_by_section():
    chosen = {"model.hidden_size": 8, "model.dropout": 0.1, "evaluation.sentences": None}
    assert describe_chosen(chosen) == [
        ("chosen", "model: hidden_size 8, dropout 0.1"),
        ("", "evaluation: sentences none"),
    ]
    assert describe_chosen({}) == []


def test_steps_stay_within_their_bounds():
    assert [stepped(value, 64, 512) for value in (0, 65, 79, 81, 1e9)] == [64, 64, 64, 96, 512]


def test_a_run_without_a_key_that_may_be_chosen_is_as_before(text, tmp_path):
    recurra.train(tiny(text), out=tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("  subword_size:")))
    opened = recurra.load(tmp_path / "run").config
    assert not automatic_keys(opened)
    assert opened.data.subword_size == 4000
