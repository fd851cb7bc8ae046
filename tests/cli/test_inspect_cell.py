"""`recurra inspect gradients --cell CELL`: no run is needed."""

from __future__ import annotations

import json

import pytest

from commands import OWN_CELL
from recurra.cli import main

SMALL = ("--length", "12", "--rows", "2", "--hidden-size", "5", "--input-size", "3")


def test_pictures_numbers_and_a_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", "gradients", "--cell", "elman", *SMALL]) == 0
    out, err = capsys.readouterr()
    assert "layer 1:" in out
    written = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert {"gradient_curves.png", "gradient_map.png", "gate_saturation.csv"} <= set(written)
    assert err.count("recurra: wrote plots/") == len(written)


def test_json_is_the_same_for_the_same_seed(tmp_path, capsys):
    records = []
    for seed in ("1", "1", "2"):
        arguments = ("--cell", "gru", "--num-layers", "2", "--bidirectional", "--seed", seed, *SMALL)
        assert main(["inspect", "gradients", *arguments, "--out", str(tmp_path), "--json"]) == 0
        records.append(json.loads(capsys.readouterr()[0]))
    assert records[0] == records[1] != records[2]


def test_a_cell_of_ones_own(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(OWN_CELL)
    cell = f"{tmp_path / 'mine.py'}:Leaky"
    assert main(["inspect", "gradients", "--cell", cell, *SMALL, "--out", str(tmp_path)]) == 0
    assert "layer 1:" in capsys.readouterr()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("RUN", "--cell", "gru"), "expected a RUN or --cell CELL, got both"),
        (("--cell", "gruu"), "Did you mean 'gru'?"),
        (("--cell", "gru", "--hidden-size", "0"), "hidden"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(capsys, arguments, message):
    assert main(["inspect", "gradients", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err
