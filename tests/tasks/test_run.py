"""A run in use, whatever its task: what it gives, what it is shown as, and what it refuses."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest

import recurra
from recurra.errors import ConfigError, RunError
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
    pieces = "".join(word_translator.iter_pieces(recurra_options(seed=2)))
    assert pieces == word_translator.sample("ein hund", seed=2, max_length=6)[0]


def recurra_options(seed):
    from recurra.decode.sample_options import SampleOptions

    return SampleOptions(prompt="ein hund", seed=seed, max_length=6)


def test_some_sentences_are_drawn_from_all_of_them(word_translator):
    from recurra.data.held_out import drawn

    sources = word_translator.split().source_text
    rows = word_translator.evaluate(sentences=4).tables["outputs"].rows
    assert [row[0] for row in rows] == [sources[index] for index in drawn(len(sources), 4)]
    assert [row[0] for row in rows] != sources[:4]


def test_views_are_functions_of_options(word_translator, tmp_path):
    views = word_translator.views()
    assert set(views) == {"gradients", "gates", "attention", "beam", "errors", "lengths"}
    shown = views["attention"](source="ein hund")
    assert [path.name for path in shown.save(tmp_path / "it.png")] == ["it.png", "it.html"]
    assert shown._repr_png_().startswith(b"\x89PNG")
    both = views["lengths"](word_translator, labels=["one", "two"], ranges=2)
    assert both.printed[0][0][2:] == ("one", "two")


# --- lists, and iterators ------------------------------------------------------------------------------


def test_several_things_are_a_list_and_what_is_named_iter_gives_them_one_by_one(word_translator):
    lines = ["ein hund", "rot"]
    predictions = word_translator.predict(lines)
    assert isinstance(predictions, list)
    one_by_one = word_translator.iter_predict(itertools.cycle(lines))  # without an end
    texts = [next(one_by_one).line() for _ in range(3)]
    assert texts[:2] == [one.line() for one in predictions]
    assert texts[2] == texts[0]
    samples = list(word_translator.iter_samples(recurra_options(seed=2)))
    assert [text for _, text in samples] == word_translator.sample("ein hund", seed=2, max_length=6)


def test_lines_come_as_a_list_a_file_or_an_array(word_translator, tmp_path):
    file = tmp_path / "lines.txt"
    file.write_bytes(b"ein hund\r\nrot\n")
    expected = [one.as_dict() for one in word_translator.predict(["ein hund", "rot"])]
    with file.open(newline="") as opened:
        assert [one.as_dict() for one in word_translator.predict(opened)] == expected
    for records in (("ein hund", "rot"), np.array(["ein hund", "rot"]), iter(["ein hund", "rot"])):
        assert [one.as_dict() for one in word_translator.predict(records)] == expected
    assert word_translator.predict([]) == []


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ("ein hund", r"records: expected a list of lines, got one text; write \['ein hund'\]\."),
        (b"ein", r"records: expected a list of lines, got one text; write \[b'ein'\]\."),
        (None, r"records: expected a list of lines of text, got None\."),
        (7, r"records: expected a list of lines of text, got 7\."),
        ({"a": 1}, r"records: expected a list of lines of text, got \{'a': 1\}\."),
        (["rot", 7], r"records\[1\]: expected a line of text, got 7\."),
        ([None], r"records\[0\]: expected a line of text, got None\."),
        ([b"rot"], r"records\[0\]: expected a line of text, got b'rot'; decode it\."),
        (np.arange(3), r"records\[0\]: expected a line of text, got "),
        ([["rot"]], r"records\[0\]: expected a line of text, got \['rot'\]\."),
    ],
)
def test_what_is_no_list_of_lines_is_refused(word_translator, records, says):
    with pytest.raises(ConfigError, match=f"^{says}"):
        word_translator.predict(records)


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda run: run.evaluate("a.tsv"), r'files: expected lists of files by key, \{"test": \["FILE"\]\}'),
        (
            lambda run: run.evaluate({"test": "a.tsv"}),
            r"files\['test'\]: expected a list of files, got 'a.tsv'",
        ),
        (lambda run: run.evaluate({"test": [3]}), r"files\['test'\]: expected a file, got 3"),
        (
            lambda run: run.evaluate({"tset": ["a"]}),
            "expected one of test, test_source, test_target, got 'tset'",
        ),
        (lambda run: run.evaluate(options=5), "options: expected TranslateEvaluateOptions, got 5"),
        (lambda run: run.sample("rot", options={"n": 2}), "options: expected SampleOptions, got "),
        (lambda run: run.sample(["rot"]), r"prompt: expected text, got \['rot'\]"),
        (lambda run: run.predict(["rot"], beam_sise=2), "no such option; .* Did you mean 'beam_size'"),
        (
            lambda run: run.with_ensemble(run),
            r"others: expected a list of runs, got the run .*; write \[run\]",
        ),
        (lambda run: run.with_ensemble(["a"]), "others: expected runs, got 'a'; open it with recurra.load"),
        (lambda run: run.views()["attention"](run, source="rot"), "this view is of one run; got the run"),
        (lambda run: run.views()["lengths"]("runs/b"), "expected runs, and options by name, got 'runs/b'"),
        (
            lambda run: run.views()["attention"](sorce="rot"),
            "sorce: no such option; .* Did you mean 'source'",
        ),
        (lambda run: recurra.load(5), "path: expected the folder of a run, got 5"),
        (lambda run: recurra.load(b"runs"), "path: expected the folder of a run, got b'runs'"),
        (lambda run: recurra.resume(""), "path: expected the folder of a run, got ''"),
        (lambda run: recurra.average(run.path, None), "out: expected the folder of a run, got None"),
        (lambda run: recurra.load(run.path, cell="lstm"), "cell: expected the class of a cell of your own"),
        (lambda run: recurra.load(run.path, device="gpu"), "device: expected auto, cpu or cuda, got 'gpu'"),
        (
            lambda run: recurra.train("a.txt"),
            r"Write recurra.train\(LMConfig\(data=TextConfig\(train=\['a.txt'\]",
        ),
        (lambda run: recurra.train(recurra.LMConfig), r"got the class LMConfig. Write LMConfig\(\)"),
        (lambda run: recurra.train(out=7), "out: expected the folder of a run, got 7"),
        (
            lambda run: recurra.train(cell=recurra.cells.LSTM(2, 3)),
            "cell: expected a subclass of recurra.Cell",
        ),
        (lambda run: recurra.load("missing"), "missing: no such run directory"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_line(word_translator, use, says):
    with pytest.raises((ConfigError, RunError, recurra.CellError), match=says) as error:
        use(word_translator)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


# --- what it is shown as, copied and shared --------------------------------------------------------------


def test_it_says_what_it_is(word_translator, tmp_path):
    first, model, progress = repr(word_translator).splitlines()
    assert first == f"Run('{word_translator.path}'): a translator"
    assert model.startswith("  EncoderDecoder of lstm cells, ")
    assert model.endswith("on cpu; source: 8 words, target: 8 words")
    assert progress.startswith("  lowest validation loss ")
    assert progress.endswith(" at step 25 of 25")
    moved = recurra.load(word_translator.path)
    moved.opened.directory.path = tmp_path / "moved"
    assert len(repr(moved).splitlines()) == 2
    for shown in (
        word_translator.opened,
        word_translator.directory,
        word_translator.task,
        word_translator.data,
    ):
        assert len(repr(shown)) < 500, shown
    (prediction,) = word_translator.predict(["ein hund"])
    assert repr(prediction).startswith("Translation(source='ein hund', target=")
    assert "tensor" not in repr(prediction) + repr(prediction.outputs)
    assert repr(word_translator.evaluate()).startswith("Evaluation(loss=")
    assert len(repr(word_translator.evaluate())) < 120


def test_the_verbs_of_the_command_line_are_explained(word_translator):
    with pytest.raises(AttributeError, match=r"^a Run has no 'translate'; use run\.predict\(lines\)$"):
        word_translator.translate("rot")
    assert not hasattr(word_translator, "colour")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))])  # noqa: S301
def test_a_copy_predicts_the_same(word_translator, again):
    expected = [one.as_dict() for one in word_translator.predict(["ein hund"])]
    assert [one.as_dict() for one in again(word_translator).predict(["ein hund"])] == expected


def test_two_runs_predict_at_once(word_translator):
    runs = [recurra.load(word_translator.path) for _ in range(2)]
    lines = ["ein hund isst", "rot", "der hund"] * 20
    expected, answers = [one.line() for one in word_translator.predict(lines)], {}

    def answer(number):
        answers[number] = [one.line() for one in runs[number].predict(lines)]

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {0: expected, 1: expected}


def test_a_section_of_a_configuration_is_its_class():
    with pytest.raises(
        ConfigError, match=r"got 'a.txt'; write LMConfig\(data=TextConfig\(train=\['a.txt'\]\)\)"
    ):
        recurra.LMConfig(data="a.txt")
    with pytest.raises(
        ConfigError, match=r"model: .*; write TranslateConfig\(model=EncoderDecoderConfig\(\.\.\.\)\)"
    ):
        recurra.TranslateConfig(model={"hidden_size": 3})
    with pytest.raises(ConfigError, match=r"data\.train: expected a list of files, got 'a.txt'"):
        recurra.TextConfig(train="a.txt")
    with pytest.raises(ConfigError, match=r"model\.cell: expected the name of a built-in cell.*got <class"):
        recurra.LanguageModelConfig(cell=recurra.cells.LSTM)
