"""`recurra predict`: the outputs are those of Python, in order, as the lines come; and every way to fail."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file

import recurra
from commands import OWN_CELL, command, environment, fails, feed, prints
from recurra.cli import main
from recurra.decode import BeamConfig
from recurra.models.language_model_config import LanguageModelConfig
from reversal import config, write_pairs
from translating import evaluate, scored, translate

LINES = ["a b c", "", "g", "d zzz yyy f", "c c d e f", "a b c d e f g a b", "b a"]
TEXT = "".join(line + "\n" for line in LINES).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict")
    (folder / "mine.py").write_text(OWN_CELL)
    (folder / "lines.txt").write_bytes(TEXT)
    (folder / "lines.txt.gz").write_bytes(gzip.compress(TEXT))
    return folder


@pytest.fixture(scope="module")
def train(folder):
    pairs = write_pairs(folder / "pairs.tsv", 60)

    def train(name, cell=None, **model):
        model = {"hidden_size": 6, "embedding_size": 5, "backend": "reference"} | model
        settings = config(pairs, {"max_length": 8}, model, steps=6)
        return str(recurra.train(settings, out=folder / name, cell=cell).path)

    return train


@pytest.fixture(scope="module")
def run(train):
    return train("run")


@pytest.fixture(scope="module")
def lm(folder):
    text = folder / "text.txt"
    text.write_text("a b c d e f g\n" * 30)
    settings = recurra.LMConfig(
        data=recurra.TextConfig(train=[str(text)]),
        model=LanguageModelConfig(hidden_size=4, embedding_size=3, backend="reference"),
        training=recurra.TrainingConfig(steps=1, batch_size=2, bptt=5, device="cpu"),
    )
    return str(recurra.train(settings, out=folder / "lm").path)


def answers(capsys, monkeypatch, data, *arguments):
    """Output lines and notes of a command that is fed `data`."""
    feed(monkeypatch, data)
    capsys.readouterr()
    assert main(["predict", *arguments]) == 0
    out, err = capsys.readouterr()
    return out.split("\n")[:-1], err


def test_a_line_for_each_line(capsys, monkeypatch, run, folder):
    expected = [one.outputs[0].text for one in translate(recurra.load(run), LINES)]
    lines, notes = answers(capsys, monkeypatch, TEXT, run)
    assert lines == expected
    assert lines[1] == ""
    assert notes == (
        "recurra: 2 of 28 symbols (7.14 %) are unknown to the vocabulary, in 1 line.\n"
        "recurra: 1 line cut to data.max_length, 8 symbols.\n"
    )
    assert answers(capsys, monkeypatch, TEXT.rstrip(), run, "--batch-size", "2") == (lines, notes)
    for name in ("lines.txt", "lines.txt.gz"):
        assert prints(capsys, "predict", run, str(folder / name)).split("\n")[:-1] == lines
    assert answers(capsys, monkeypatch, b"", run) == ([], "")


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (["--greedy"], {"greedy": True}),
        (
            ["--greedy", "--min-length", "6", "--no-repeat-ngram", "1"],
            {"greedy": True, "beam": BeamConfig(min_length=6, no_repeat_ngram=1)},
        ),
        (["--beam-size", "2", "--length-penalty", "0"], {"beam": BeamConfig(2, 0.0)}),
        (
            ["--penalty", "gnmt", "--coverage-penalty", "0.4", "--max-length", "4"],
            {"beam": BeamConfig(penalty="gnmt", coverage_penalty=0.4, max_length=4)},
        ),
        (["--copy-unknown"], {"copy_unknown": True}),
    ],
)
def test_options_mean_what_they_do_in_python(capsys, monkeypatch, run, options, how):
    lines, _ = answers(capsys, monkeypatch, TEXT, run, "--json", *options)
    expected = list(translate(recurra.load(run), LINES, **how))
    for line, one in zip(lines, expected, strict=True):
        record = json.loads(line)
        assert (record["target"], record["n_best"][0]["tokens"]) == (
            one.outputs[0].text,
            one.outputs[0].tokens,
        )
        assert (record["score"], record["log_prob"]) == pytest.approx(
            (one.outputs[0].score, one.outputs[0].log_prob), rel=1e-5
        )


def test_the_n_best_are_as_many_lines_for_each(capsys, monkeypatch, run):
    lines, _ = answers(capsys, monkeypatch, TEXT, run, "--n-best", "3", "--max-length", "1")
    assert len(lines) == 3 * len(LINES)
    for index, _ in enumerate(LINES):
        ranks, scores, texts = zip(
            *(line.split("\t") for line in lines[3 * index : 3 * index + 3]), strict=True
        )
        assert ranks == ("1", "2", "3")
        assert scores[1:] == ("-inf", "-inf")  # one symbol leaves room for <eos> alone
        assert texts == ("", "", "")
    lines, _ = answers(capsys, monkeypatch, TEXT, run, "--n-best", "2")
    for index, one in enumerate(translate(recurra.load(run), LINES, BeamConfig(n_best=2))):
        rows = [line.split("\t") for line in lines[2 * index : 2 * index + 2]]
        assert [row[2] for row in rows][: len(one.outputs)] == [output.text for output in one.outputs]
        assert float(rows[0][1]) == pytest.approx(one.outputs[0].score, abs=1e-3)


def test_records(capsys, monkeypatch, run):
    lines, _ = answers(capsys, monkeypatch, TEXT, run, "--json", "--n-best", "2")
    records = [json.loads(line) for line in lines]
    assert [record["source"] for record in records] == LINES
    assert [record["unknown"] for record in records] == [0, 0, 0, 2, 0, 0, 0]
    assert [record["truncated"] for record in records] == [False] * 5 + [True, False]
    for record in (records[0], *records[2:]):
        assert record["target"] == record["n_best"][0]["text"]
        assert record["score"] == record["n_best"][0]["score"] >= record["n_best"][1]["score"]
        assert record["n_best"][0]["tokens"][-1] == "<eos>"
        assert record["log_prob"] < 0
    assert records[1]["n_best"] == [{"text": "", "score": 0.0, "log_prob": 0.0, "tokens": []}]


def test_a_stream_of_json_goes_on_after_a_bad_line(capsys, monkeypatch, run):
    data = b'{"source": "a b", "id": 7}\nnonsense\n{"id": 8}\n"c \xff"\n{"source": "c", "target": 1}\n"d"\n'
    lines, notes = answers(capsys, monkeypatch, data, run, "--json", "--batch-size", "2")
    records = [json.loads(line) for line in lines]
    assert [record.get("source") for record in records] == ["a b", None, None, None, "c", "d"]
    assert records[0]["id"] == 7
    assert isinstance(records[4]["target"], str)
    errors = [record.get("error") for record in records[1:4]]
    for number, error in enumerate(errors, start=2):
        assert error.startswith(f"standard input, line {number}: ")
    assert records[2]["id"] == 8
    assert notes == "recurra: 3 of 6 lines cannot be used; an error stands in the place of each.\n"


def test_what_came_before_a_wrongly_encoded_line_is_answered(capsys, monkeypatch, run, folder):
    feed(monkeypatch, b"a b\nc\nd \xff\ne\n")
    capsys.readouterr()
    assert main(["predict", run]) == 2
    out, err = capsys.readouterr()
    assert out.count("\n") == 2
    assert err == (
        "recurra: standard input, line 3: not UTF-8 (byte 0xff at column 3). Re-encode the input, or pass "
        "--data.encoding latin-1.\n"
    )
    assert len(answers(capsys, monkeypatch, b"\xe4\n", run, "--data.encoding", "latin-1")[0]) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--n-best", "4", "--beam-size", "3"], "--n-best: expected at most the beam size 3, got 4"),
        (["--greedy", "--n-best", "2"], "--n-best: changes nothing with --greedy"),
        (["--greedy", "--length-penalty", "0.7"], "--length-penalty: changes nothing with --greedy"),
        (["--greedy", "--penalty", "gnmt"], "--penalty: changes nothing with --greedy"),
        (["--length-penalty", "1.5"], "--length-penalty: expected a number from 0 to 1, got 1.5"),
        (["--penalty", "gmnt"], "--penalty: expected one of power, gnmt"),
        (
            ["--min-length", "9", "--max-length", "3"],
            "--max-length: expected at least the minimum length 9, got 3",
        ),
        (["--batch-size", "0"], "--batch-size: expected a whole number of at least 1, got 0"),
        (["--data.encoding", "utf-16"], "lines of 'utf-16' cannot be told apart"),
        (["--ensemble", "no/such"], "no/such: no such run directory"),
        (["no/such.txt"], "no/such.txt: no such file"),
        (["--beam-sise", "3"], "Did you mean --beam-size?"),
    ],
)
def test_wrong_options_give_one_line(capsys, monkeypatch, run, options, says):
    feed(monkeypatch, b"a b\n")
    assert says in fails(capsys, "predict", run, *options)


def test_runs_of_another_task_say_what_they_are_good_for(capsys, run, lm):
    assert f"{lm} is a language model; expected a translator" in fails(
        capsys, "predict", run, "--ensemble", lm
    )
    message = fails(capsys, "score", run)
    assert f"{run} is a translator; score needs a language model" in message
    assert f"`recurra predict {run} < FILE` translates" in message


def test_predict_and_sample_are_for_every_task(capsys, monkeypatch, run, lm):
    """A language model's predictions are what `score` prints; a translator's samples are translations."""
    feed(monkeypatch, b"a b c\n")
    scores = prints(capsys, "predict", lm)
    feed(monkeypatch, b"a b c\n")
    assert prints(capsys, "score", lm) == scores
    assert scores.endswith("a b c\n")
    samples = prints(
        capsys, "sample", run, "--prompt", "a b c", "--n", "3", "--seed", "1", "--max-length", "9"
    )
    assert len(samples.splitlines()) == 3
    assert set(samples.split()) <= set("abcdefg")
    assert "--prompt: expected a source to translate" in fails(capsys, "sample", run)


def test_ensembles_and_cells_of_ones_own(capsys, monkeypatch, train, run, folder):
    alone, _ = answers(capsys, monkeypatch, TEXT, run)
    assert answers(capsys, monkeypatch, TEXT, run, "--ensemble", run, run)[0] == alone
    from recurra.cells import resolve

    path = f"{folder / 'mine.py'}:Leaky"
    own = train("own", cell=resolve(path))
    assert "--model.cell FILE.py:Leaky" in fails(capsys, "predict", own)
    for first, second in ((own, run), (own, own)):
        arguments = (first, "--ensemble", second, "--model.cell", path)
        assert len(answers(capsys, monkeypatch, TEXT, *arguments)[0]) == len(LINES)


def test_weights_that_are_not_numbers_give_one_line(capsys, monkeypatch, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    weights = load_file(tmp_path / "run" / "model.safetensors")
    save_file(
        {name: torch.full_like(weight, float("nan")) for name, weight in weights.items()},
        tmp_path / "run" / "model.safetensors",
    )
    feed(monkeypatch, b"a b\n")
    assert "values that are not finite" in fails(capsys, "predict", str(tmp_path / "run"))


def test_lines_are_answered_as_they_come_and_a_closed_pipe_ends_quietly(run):
    process = subprocess.Popen(
        command("predict", run, "--json"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    for line in ("a b", "c"):
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["source"] == line  # while standard input is still open
    process.stdout.close()
    process.stdin.write(b"d\n")
    process.stdin.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


# -------------------------------------------------------------------- evaluate


def test_evaluation_of_a_translator(capsys, run, folder, tmp_path):
    test = tmp_path / "test.tsv"
    test.write_text("a b\tb a\nc  d\td c\na b\tb b\n")
    arguments = ["evaluate", run, "--data.test", str(test), "--beam-size", "2"]
    out = prints(capsys, *arguments, "--out", str(tmp_path / "out.tsv"))
    assert "BLEU by sacrebleu, nrefs:" in out
    assert "exact match = 100" in out
    figures = json.loads(prints(capsys, *arguments, "--json"))
    expected = evaluate(recurra.load(run), [test], beam=BeamConfig(2))
    _, outputs, _ = scored(expected)
    assert figures["loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert figures["bleu"] == expected.scores["bleu"].value
    assert set(figures["signatures"]) == {"perplexity", "exact_match", "bleu"}
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert rows == [["a b", outputs[0], "b a", "b b"], ["c d", outputs[1], "d c"]]
    (tmp_path / "source").write_text("a b\nc d\na b\n")
    (tmp_path / "target").write_text("b a\nd c\nb b\n")
    files = ["--data.test_source", str(tmp_path / "source"), "--data.test_target", str(tmp_path / "target")]
    parallel = json.loads(prints(capsys, "evaluate", run, *files, "--beam-size", "2", "--json"))
    assert parallel == figures


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--greedy", "--beam-size", "2"], "--beam-size: changes nothing with --greedy"),
        (["--n-best", "2"], "--n-best: no such option of `recurra evaluate`"),
        (["--out", "no/such/out.tsv"], "--out: expected a file in a folder that exists"),
        (["--data.test_source", "gone.txt"], "expected as many source files as target files, got 1 and 0"),
        (["--data.test", "gone.tsv"], "gone.tsv: no such file"),
    ],
)
def test_wrong_options_of_an_evaluation_give_one_line(capsys, run, options, says):
    assert says in fails(capsys, "evaluate", run, *options)


def test_a_language_model_has_no_outputs_to_search_for(capsys, lm):
    assert "perplexity = exp" in prints(capsys, "evaluate", lm)
    for options in (["--beam-size", "3"], ["--greedy"], ["--out", "x"], ["--data.test_target", "x"]):
        assert f"{options[0]}: {lm} is a language model" in fails(capsys, "evaluate", lm, *options)
