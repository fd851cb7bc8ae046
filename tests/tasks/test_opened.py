"""Runs made by the version before this one (format 1): they open, predict, and resume to the same end.

`format_1` holds runs that the version before stopped after 3 of 6 updates, the data they learn from, what they then
said (`expected.json`), and the resume tensors with which they ended (`*.end.safetensors`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import recurra
from recurra.errors import RunError
from recurra.metrics.records import evaluations
from recurra.tasks.opened import FORMAT, current_config, open_run

RUNS = Path(__file__).with_name("format_1")
EXPECTED = json.loads((RUNS / "expected.json").read_text())


@pytest.fixture
def folder(tmp_path):
    """A copy of all runs, whose configurations name the data in it."""
    copy = Path(shutil.copytree(RUNS, tmp_path / "runs"))
    for path in copy.glob("*/config.yaml"):
        path.write_text(path.read_text().replace("FOLDER", str(copy)))
    return copy


@pytest.mark.parametrize("name", ["characters", "words", "notes"])
def test_a_language_model_says_what_it_said(folder, name):
    run, expected = recurra.load(folder / name), EXPECTED[name]
    assert run.evaluate().loss == pytest.approx(expected["nats"], rel=1e-5)
    if "score" in expected:
        lines = {"characters": ["the cat", "a bog"], "words": ["the cat sat", "a bog"]}[name]
        log_probs = [one.log_prob for one in run.predict(lines)]
        assert log_probs == pytest.approx(expected["score"], rel=1e-5)
    if "sample" in expected:
        prompt, length = {"characters": ("the ", 20), "notes": (None, 5)}[name]
        assert run.sample(prompt, max_length=length, seed=1) == expected["sample"]


@pytest.mark.parametrize("name", ["pairs", "joint"])
def test_a_translator_says_what_it_said(folder, name):
    run, expected = recurra.load(folder / name), EXPECTED[name]
    assert run.vocabularies.joint("source", "target") == (name == "joint")
    best = [one.outputs[0] for one in run.predict(["cat", "frog"])]
    assert [one.text for one in best] == expected["texts"]
    assert [one.log_prob for one in best] == pytest.approx(expected["log_probs"], rel=1e-5)
    evaluation = run.evaluate()
    assert evaluation.loss == pytest.approx(expected["loss"], rel=1e-5)
    scores = {"sequence_error_rate": "word_error_rate"}
    for score in evaluation.scores.values():
        if score.name != "perplexity":
            assert score.value == expected["scores"][scores.get(score.name, score.name)]


@pytest.mark.parametrize("name", ["characters", "pairs"])
def test_it_resumes_to_the_same_end(folder, name):
    run = recurra.resume(folder / name)
    assert (run.result.step, run.result.reason) == (6, "steps")
    end = run.directory.load_resume().tensors
    expected = load_file(RUNS / f"{name}.end.safetensors")
    assert end.keys() == expected.keys()
    for key, tensor in expected.items():
        if tensor.is_floating_point():  # other processors round differently
            torch.testing.assert_close(end[key], tensor, rtol=1e-4, atol=1e-6)
        else:
            assert torch.equal(end[key], tensor), key
    rows = run.directory.metrics()
    assert [row["step"] for row in evaluations(rows)] == [3, 6]
    assert [row["step"] for row in rows] == [3, 4, 5, 6, 6]  # a line per update since it was resumed
    assert recurra.resume(folder / name).result.step == 6  # in today's format by now


@pytest.mark.parametrize("name", ["words", "joint"])
def test_its_mean_has_the_format_of_today(folder, name):
    copy = folder / name
    (copy / "checkpoints").mkdir()
    for step in (1, 3):
        shutil.copy(copy / "model.safetensors", copy / "checkpoints" / f"{step}.safetensors")
    made = recurra.average(copy, folder / "mean")
    record = json.loads((folder / "mean" / "task.json").read_text())
    assert record["format"] == FORMAT
    assert (folder / "mean" / "vocabularies").is_dir()
    assert recurra.load(folder / "mean").evaluate().loss > 0
    assert made.steps == [1, 3]


@pytest.mark.parametrize(
    ("made_as", "says"),
    [
        (FORMAT + 1, rf"made by a later version of recurra \(format {FORMAT + 1}.*update recurra"),
        (0, "expected a whole number under 'format', got 0"),
        ("1", "expected a whole number under 'format', got '1'"),
        (None, "expected a whole number under 'format', got None"),
        (True, "expected a whole number under 'format', got True"),
    ],
)
def test_the_format_is_read(folder, made_as, says):
    path = folder / "words" / "task.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": made_as}))
    for use in (open_run, recurra.load, recurra.resume):
        with pytest.raises(RunError, match=says) as error:
            use(folder / "words")
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("digests", [1]),
        ("digests", {"data.train": 3}),
        ("program", 1),
        ("cell", ["lstm"]),
        ("averaged", {}),
        ("recurra", 2),
    ],
)
def test_a_record_of_other_types_is_refused(folder, key, value):
    path = folder / "words" / "task.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(
        RunError, match=rf"task\.json: expected .* under '{key}', got .*put the original file back"
    ):
        open_run(folder / "words")


@pytest.mark.parametrize("made_by", ["9.1", None])
@pytest.mark.parametrize("section", ["", "data"])
def test_a_key_that_is_not_known_names_the_versions(folder, section, made_by):
    task, config = folder / "words" / "task.json", folder / "words" / "config.yaml"
    if made_by is not None:
        task.write_text(json.dumps(json.loads(task.read_text()) | {"recurra": made_by}))
    text = config.read_text()
    config.write_text(text.replace("data:\n", "data:\n  novel: 1\n", 1) if section else f"{text}novel: 1\n")
    key = "data.novel" if section else "novel"
    maker = r"the run was made by version 9\.1\. Update" if made_by else "was it made by a later version"
    with pytest.raises(
        RunError, match=rf"config\.yaml: the key '{key}' is not known to .*{recurra.__version__}; {maker}"
    ):
        open_run(folder / "words")


def test_a_later_resume_state_is_refused(folder):
    path = folder / "words" / "resume" / "3" / "values.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    with pytest.raises(RunError, match=r"values\.json has format 3, and this recurra reads 1 to 2"):
        recurra.resume(folder / "words")


def test_an_earlier_run_keeps_its_split(folder):
    """The last lines are held out, and the first sentences are translated."""
    for made_as in (1, 2):
        for name in ("characters", "pairs"):
            path = folder / name / "task.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"format": made_as}))
        assert open_run(folder / "characters").config.data.hold_out == "end"
        assert open_run(folder / "pairs").config.evaluation.sampled is False
    run = recurra.load(folder / "pairs")
    outputs = run.evaluate(sentences=3).tables["outputs"].rows
    assert [row[0] for row in outputs] == run.split().source_text[:3]
    today = recurra.LMConfig().data, recurra.TranslateConfig().evaluation
    assert (today[0].hold_out, today[1].sampled) == (None, True)
    assert current_config({"data": {"hold_out": "sample"}}, "lm") == {"data": {"hold_out": "sample"}}
