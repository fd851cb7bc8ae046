"""A small language model of a text on fruit, trained once for all files."""

from __future__ import annotations

import pytest

from cli.fruit import SMALL, TEXT
from commands import OWN_CELL
from recurra.cli import main


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "fruit.txt").write_text(TEXT)
    (folder / "mine.py").write_text(OWN_CELL)
    return folder


@pytest.fixture(scope="session")
def run(folder):
    path = folder / "run"
    assert main(["train", "lm", "--data.train", str(folder / "fruit.txt"), "--out", str(path), *SMALL]) == 0
    return str(path)


@pytest.fixture(scope="session")
def lines_run(folder):
    path = folder / "lines"
    arguments = [
        "--data.layout",
        "lines",
        "--data.vocabulary",
        "words",
        "--config",
        str(folder / "small.yaml"),
    ]
    (folder / "small.yaml").write_text(
        "model: {cell: gru, hidden_size: [8, 6]}\ntraining:\n  steps: 5\n  batch_size: 4\n"
    )
    assert (
        main(["train", "lm", "--data.train", str(folder / "fruit.txt"), "--out", str(path), *arguments]) == 0
    )
    return str(path)
