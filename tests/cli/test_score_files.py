"""`recurra bleu` on files."""

from __future__ import annotations

import gzip
import io
import json
import sys

import pytest

from recurra.cli import main
from recurra.metrics.bleu import corpus_bleu, corpus_chrf, sentence_bleu, sentence_chrf

HYPOTHESES = ["The cat the cat on the mat.", "", "A dog.\u2028It barks."]
FIRST = ["The cat is on the mat.", "Nobody.", "A dog. It barked."]
SECOND = ["There is a cat on the mat.", "", "The dog.\u2028It barks."]
REFERENCES = [list(pair) for pair in zip(FIRST, SECOND, strict=True)]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three texts of three lines (U+2028 ends none), the last line ended or not, one of them packed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hyp").write_text("\r\n".join(HYPOTHESES), encoding="utf-8", newline="")
    (tmp_path / "ref1").write_text("\n".join(FIRST) + "\n", encoding="utf-8")
    (tmp_path / "ref2.gz").write_bytes(gzip.compress(("\n".join(SECOND) + "\n").encode()))
    return tmp_path


def run(capsys, *arguments: str) -> str:
    assert main(["bleu", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def fails(capsys, *arguments: str) -> str:
    assert main(["bleu", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_prints_the_score_and_what_it_is_made_of(files, capsys):
    out = run(capsys, "hyp", "ref1", "ref2.gz", "--chrf", "--lowercase")
    score = corpus_bleu(HYPOTHESES, REFERENCES, lowercase=True)
    chrf = corpus_chrf(HYPOTHESES, REFERENCES, lowercase=True)
    rows = [line.split() for line in out.splitlines()]
    assert rows[1] == ["BLEU", f"{score.value:.4f}"]
    for n in range(4):
        expected = f"{score.precisions[n]:.4f}", f"{score.matches[n]}/{score.totals[n]}"
        assert rows[2 + n] == ["precision", "of", f"{n + 1}-grams", *expected]
    lengths = f"{score.hypothesis_length} tokens against {score.reference_length}"
    assert rows[6] == ["brevity", "penalty", f"{score.brevity_penalty:.4f}", *lengths.split()]
    assert rows[7] == ["chrF2", f"{chrf.value:.4f}"]
    assert out.endswith(f"BLEU by sacrebleu: {score.sacrebleu}\nchrF2 by sacrebleu: {chrf.sacrebleu}\n")


def test_json(files, capsys):
    assert json.loads(run(capsys, "hyp", "ref1", "ref2.gz", "--json", "--tokenize", "none")) == (
        corpus_bleu(HYPOTHESES, REFERENCES, tokenize="none").as_dict()
    )
    both = json.loads(run(capsys, "hyp", "ref1", "--json", "--chrf"))
    assert both["chrf"] == corpus_chrf(HYPOTHESES, [[line] for line in FIRST]).value


def test_sentence_by_sentence(files, capsys):
    scores = sentence_bleu(HYPOTHESES, REFERENCES)
    chrfs = sentence_chrf(HYPOTHESES, REFERENCES)
    out = run(capsys, "hyp", "ref1", "ref2.gz", "--sentence", "--chrf")
    lines = out.split("\n")
    for number, (line, score, chrf) in enumerate(zip(lines[1:4], scores, chrfs, strict=True), start=1):
        figures = [str(number), *(f"{x:.4f}" for x in (score.value, chrf.value, score.brevity_penalty))]
        assert line.split()[:4] == figures
        assert score.counts in line
        assert line.endswith(HYPOTHESES[number - 1])
    printed = run(capsys, "hyp", "ref1", "--sentence", "--json")
    records = [json.loads(line) for line in printed.removesuffix("\n").split("\n")]
    assert [record["line"] for record in records] == [1, 2, 3]
    assert [record["text"] for record in records] == HYPOTHESES
    assert records[2]["bleu"] == sentence_bleu(HYPOTHESES, [[line] for line in FIRST])[2].value
    assert "chrf" not in records[0]


def test_standard_input(files, capsys, monkeypatch):
    expected = run(capsys, "hyp", "ref1")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((files / "hyp").read_bytes())))
    assert run(capsys, "-", "ref1") == expected
    assert "standard input (-) can be read once only" in fails(capsys, "-", "-")


def test_lines_are_counted_exactly(files, capsys):
    (files / "four").write_text("a\nb\n\n\n")  # the last two are empty, and what follows the last end is none
    assert "ref2.gz: expected 4 lines, as many as four has; got 3." in fails(capsys, "four", "ref2.gz")
    assert "four: expected 3 lines, as many as hyp has; got 4." in fails(capsys, "hyp", "ref1", "four")


def test_tokenised_text_is_noted_in_one_line_unless_meant(files, capsys):
    (files / "tokenised").write_text("a dog sat .\n" * 100)
    assert main(["bleu", "tokenised", "tokenised", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["bleu"] == pytest.approx(100)
    assert err.startswith("recurra: 100 hypotheses end in a separate full stop")
    assert err.count("\n") == 1
    run(capsys, "tokenised", "tokenised", "--allow-tokenised")


def test_encodings(files, capsys):
    (files / "latin").write_bytes("Ein Hund läuft über die Brücke.\n".encode("latin-1"))
    error = fails(capsys, "latin", "latin")
    assert "latin, line 1: not UTF-8 (byte 0xe4 at column 11)" in error
    assert "--data.encoding latin-1" in error
    read = run(capsys, "latin", "latin", "--json", "--sentence", "--data.encoding", "latin-1")
    assert json.loads(read)["text"] == "Ein Hund läuft über die Brücke."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hyp"], "give a REF: recurra bleu HYP REF..."),
        (["hyp", "nowhere"], "nowhere: no such file"),
        (["hyp", "ref1", "--tokenize", "chars"], "got 'chars'. Did you mean 'char'?"),
        (["hyp", "ref1", "--tokenise", "char"], "no such option of `recurra bleu`. Did you mean --tokenize?"),
        (["hyp", "ref1", "--data.encoding", "latin1000"], "not a text encoding"),
    ],
)
def test_mistakes_are_one_line(files, capsys, arguments, message):
    assert message in fails(capsys, *arguments)
