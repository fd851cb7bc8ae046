"""A run in use, whatever its task."""

from __future__ import annotations

import pytest

import recurra
from recurra.errors import ConfigError
from recurra.tasks.run import changed
from recurra.tasks.translation_options import TranslatePredictOptions


def test_options_by_name_replace_those_given():
    options = changed(TranslatePredictOptions(beam_size=3), {"n_best": 2})
    assert (options.beam_size, options.n_best) == (3, 2)
    with pytest.raises(ConfigError, match=r"beam_sise: no such option; expected one of beam_size, "):
        changed(options, {"beam_sise": 2})


def test_it_is_opened_once(word_translator, monkeypatch):
    """`load` reads each file of a run once, and draws no weights; predictions read none."""
    import torch

    from recurra.tasks import opened
    from recurra.training import run_directory

    read: list[str] = []
    for module in (opened, run_directory):
        original = module.read_json
        monkeypatch.setattr(
            module, "read_json", lambda path, original=original: read.append(path.name) or original(path)
        )
    before = torch.get_rng_state()
    run = recurra.load(word_translator.path)
    assert torch.equal(torch.get_rng_state(), before)
    assert [one.outputs[0].text for one in run.predict(["ein hund"])] == [
        one.outputs[0].text for one in word_translator.predict(["ein hund"])
    ]
    assert read == ["task.json"]


def test_an_ensemble_is_of_one_task_and_vocabulary(word_translator):
    both = word_translator.with_ensemble([word_translator])
    lines = ["ein hund isst", "rot"]
    alone = [one.outputs[0] for one in word_translator.predict(lines)]
    assert [one.outputs[0].text for one in both.predict(lines)] == [one.text for one in alone]
    assert both.evaluate().loss == word_translator.evaluate().loss


def test_samples_are_translations_and_their_number_is_asked_for(word_translator):
    texts = word_translator.sample("ein hund", n=4, seed=2, max_length=6)
    assert len(texts) == 4
    assert set(" ".join(texts).split()) <= {"a", "the", "dog", "woman", "red", "eats"}
    assert texts == word_translator.sample("ein hund", n=4, seed=2, max_length=6)
    pieces = "".join(word_translator.pieces(recurra_options(seed=2)))
    assert pieces == word_translator.sample("ein hund", seed=2, max_length=6)[0]


def recurra_options(seed):
    from recurra.decode.sample_options import SampleOptions

    return SampleOptions(prompt="ein hund", seed=seed, max_length=6)


def test_views_are_functions_of_options(word_translator, tmp_path):
    views = word_translator.views()
    assert set(views) == {"gradients", "gates", "attention", "beam", "errors", "lengths"}
    shown = views["attention"](source="ein hund")
    assert [path.name for path in shown.save(tmp_path / "it.png")] == ["it.png", "it.html"]
    assert shown._repr_png_().startswith(b"\x89PNG")
    both = views["lengths"](word_translator, labels=["one", "two"], ranges=2)
    assert both.printed[0][0][2:] == ("one", "two")
