"""`recurra inspect VIEW` on small runs."""

from __future__ import annotations

import json

import pytest

import recurra
from recurra.cli import main
from recurra.inspection.label_fonts import label_fonts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, `with` attention and `without`, on numbers and their reversal."""
    folder = tmp_path_factory.mktemp("looks")
    lines = [f"{number}\t{str(number)[::-1]}" for number in range(7, 9000, 223)]
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n")
    data = recurra.PairConfig(
        train=[str(folder / "pairs.tsv")],
        source_vocabulary="characters",
        target_vocabulary="characters",
        held_out=0.3,
        max_length=12,
    )
    for name, attention in (("with", "luong"), ("without", "none")):
        config = recurra.TranslateConfig(
            data=data,
            model=recurra.EncoderDecoderConfig(
                hidden_size=10, embedding_size=5, attention=attention, backend="reference"
            ),
            evaluation=recurra.EvaluationConfig(metrics=["exact_match"]),
            training=recurra.PairTrainingConfig(steps=2, batch_tokens=200, evaluate_every=2),
        )
        recurra.train(config, folder / name)
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def prints(capsys, *arguments: str) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["inspect", *arguments]) == 0
    out, err = capsys.readouterr()
    return out, err


def fails(capsys, *arguments: str) -> str:
    capsys.readouterr()
    assert main(["inspect", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_attention_writes_a_picture_and_a_page(here, capsys):
    out, err = prints(capsys, "attention", "with", "--source", "12 漢", "--beam-size", "2")
    assert out.split() == ["with/plots/attention.png", "with/plots/attention.html"]
    assert ("no font here has 漢" in err) == bool(label_fonts(["漢"]).missing)
    page = (here / "with/plots/attention.html").read_text(encoding="utf-8")
    assert ">漢<" in page
    out, err = prints(
        capsys, "attention", "with", "--source", "1234", "--target", "4321", "--out", "own/it.png"
    )
    assert (out.split(), err) == (["own/it.png", "own/it.html"], "")
    assert all((here / name).stat().st_size > 1_000 for name in out.split())
    err = prints(capsys, "attention", "with", "--source", "1" * 30, "--target", "1")[1]
    assert "cut to data.max_length, 12 symbols" in err


def test_beam_draws_the_search_and_prints_what_it_found(here, capsys):
    out, err = prints(capsys, "beam", "with", "--source", "6037", "--beam-size", "3", "--max-length", "6")
    assert err == "recurra: wrote with/plots/beam.png\n"
    assert (here / "with/plots/beam.png").stat().st_size > 5_000
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["place", "score", "log", "P", "symbols", "output"]
    assert [row[0] for row in rows[1:]] == ["1", "2", "3"]
    scores = [float(row[1]) for row in rows[1:]]
    assert scores == sorted(scores, reverse=True)
    for row in rows[1:]:
        assert float(row[1]) == pytest.approx(float(row[2]) / int(row[3]) ** 0.7, abs=2e-4)
        assert int(row[3]) <= 6


def test_errors_are_counted_by_beam_size(here, capsys):
    out, err = prints(
        capsys, "errors", "with", "--beam-sizes", "3", "1", "--examples", "2", "--sentences", "9"
    )
    assert err == "recurra: wrote with/plots/search_errors.png\n"
    head, *rows = out.splitlines()[:3]
    assert head.split() == ["beam", "size", "equal", "model", "errors", "search", "errors", "exact_match"]
    assert [row.split()[0] for row in rows] == ["1", "3"]
    out, err = prints(capsys, "errors", "without", "--data.test", "pairs.tsv", "--json", "--beam-sizes", "2")
    record = json.loads(out)
    assert record["beam_size"] == 2
    assert record["sentences"] == 41
    assert record["equal"] + record["model_errors"] + record["search_errors"] == 41
    for kind in ("model", "search"):
        examples = record[f"{kind}_examples"]
        assert len(examples) == min(3, record[f"{kind}_errors"])
        for one in examples:
            assert (one["reference_score"] > one["output_score"]) == (kind == "search")


def test_lengths_compare_runs(here, capsys):
    out, err = prints(
        capsys, "lengths", "with", "without", "--labels", "luong", "none", "--ranges", "2", "--beam-size", "1"
    )
    assert err == "recurra: wrote with/plots/lengths.png\n"
    assert (here / "with/plots/lengths.png").stat().st_size > 5_000
    head, *rows, unit = out.splitlines()
    assert head.split() == ["source", "length", "(characters)", "sentences", "luong", "none"]
    assert sum(int(row.split()[1]) for row in rows) == 12
    assert unit == "exact_match, higher is better"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "with"], "--source: expected a text to translate, got none"),
        (["attention", "with", "--source", "1", "--out", "it.jpg"], "--out: expected a file that ends in .png"),
        (["attention", "without", "--source", "1"], "no attention to show"),
        (["attention", "with", "--source", " "], "source: expected some text, got none"),
        (
            ["attention", "with", "--source", "1", "--target", "1", "--beam-size", "2"],
            "--beam-size: a given --target is not searched for",
        ),
        (["beam", "with", "--source", "1", "--pruned", "-1"], "--pruned: expected a whole number of at least 0"),
        (["beam", "with", "--source", "1", "--beam-size", "0"], "--beam-size: expected a whole number of at least 1"),
        (["errors", "with", "--beam-sizes", "1", "0"], "--beam-sizes: expected whole numbers above 0, got 1 0"),
        (["errors", "with", "--beam-sizes", "two"], "--beam-sizes: expected a list"),
        (["errors", "with", "--examples", "-1"], "--examples: expected a whole number of at least 0"),
        (["lengths", "with", "with"], "labels: expected 2 different ones"),
        (["lengths", "with", "--labels", "a", "b"], "labels: expected 1 different ones"),
        (["lengths", "with", "--ranges", "0"], "--ranges: expected a whole number of at least 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said_in_one_line(here, capsys, arguments, message):
    assert message in fails(capsys, *arguments)
