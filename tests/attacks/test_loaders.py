"""Every loader on every hostile file: it reads it, or refuses it in one short line, at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from attacks.clock import at_most
from attacks.hostile_files import MAKE
from recurra import LMConfig, TextConfig, TranslateConfig, load, train
from recurra.cli.config_files import read_yaml
from recurra.cli.lines import LineReader, groups_of_lines, open_lines
from recurra.data import files
from recurra.data.corpus import load_corpus, load_test
from recurra.data.pairs import PairConfig, load_pairs
from recurra.data.vocabularies import load_vocabulary
from recurra.errors import RecurraError
from recurra.models.language_model_config import LanguageModelConfig
from recurra.models.translation_config import EncoderDecoderConfig
from recurra.tasks.opened import open_run
from recurra.training.config import PairTrainingConfig, TrainingConfig
from recurra.training.durable import check_tensors, read_json, read_tensors
from recurra.training.run_directory import RunDirectory

SECONDS = 5


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A pipe that nobody writes to is waited for a moment, not for seconds."""
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.05)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "lines.txt").write_text("the cat sees the dog\nthe dog hears the cow\n" * 30)
    (folder / "pairs.tsv").write_text("".join(f"a {n}\tb {n}\n" for n in range(40)))
    small = LanguageModelConfig(hidden_size=4)
    limits = {"steps": 2, "evaluate_every": 1, "keep": 2}
    config = LMConfig(
        data=TextConfig(train=[str(folder / "lines.txt")]),
        model=small,
        training=TrainingConfig(batch_size=2, bptt=8, **limits),
    )
    train(config, folder / "lm")
    pairs = TranslateConfig(
        data=PairConfig(train=[str(folder / "pairs.tsv")], held_out=0.2),
        model=EncoderDecoderConfig(hidden_size=4, embedding_size=4),
        training=PairTrainingConfig(**limits),
    )
    train(pairs, folder / "translate")
    return folder


def refused_or_read(read: Callable[[], object]) -> None:
    with at_most(SECONDS):
        try:
            read()
            return
        except RecurraError as error:
            message = str(error)
    assert "\n" not in message
    assert len(message) <= 500
    message.encode()


def predict_lines(path: Path) -> None:
    name, stream, encoding = open_lines(str(path), "utf-8")
    reader = LineReader(name, encoding, "source")
    for group in groups_of_lines(stream, 1000):
        for line in group:
            reader.read(line)


def corpus(vocabulary: str, layout: str) -> Callable[[Path], object]:
    return lambda path: load_corpus(TextConfig(train=[str(path)], vocabulary=vocabulary, layout=layout))


READ: dict[str, Callable[[Path], object]] = {
    "text": corpus("characters", "continuous"),
    "lines": corpus("characters", "lines"),
    "words": corpus("words", "lines"),
    "bytes": corpus("bytes", "continuous"),
    "notes": corpus("notes", "continuous"),
    "pairs": lambda path: load_pairs(PairConfig(train=[str(path)])),
    "two files": lambda path: load_pairs(PairConfig(train_source=[str(path)], train_target=[str(path)])),
    "lines to predict": predict_lines,
    "configuration": lambda path: list(read_yaml(path, ["data.train", "model.cell"])),
    "json": read_json,
    "tensors": read_tensors,
    "header of tensors": check_tensors,
    "vocabulary": lambda path: load_vocabulary(path.parent),
}


@pytest.mark.parametrize("hostile", MAKE)
@pytest.mark.parametrize("reader", READ)
def test_a_file(tmp_path, reader, hostile):
    path = tmp_path / ("vocabulary.json" if reader == "vocabulary" else "it")
    MAKE[hostile](path)
    refused_or_read(lambda: READ[reader](path))
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("hostile", MAKE)
def test_a_text_to_evaluate(tmp_path, runs, hostile):
    MAKE[hostile](tmp_path / "it")
    opened = open_run(runs / "lm")
    refused_or_read(lambda: load_test([tmp_path / "it"], opened.config.data, opened.vocabularies))


@pytest.mark.parametrize("hostile", MAKE)
@pytest.mark.parametrize("task", ["lm", "translate"])
def test_a_run(tmp_path, runs, task, hostile):
    """In the place of each of its files in turn."""
    files = sorted(path.relative_to(runs / task) for path in (runs / task).rglob("*") if path.is_file())
    for number, name in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(runs / task, folder)
        (folder / name).unlink()
        MAKE[hostile](folder / name)
        refused_or_read(lambda folder=folder: load(folder))
        refused_or_read(lambda folder=folder: RunDirectory.open(folder).metrics())
        refused_or_read(lambda folder=folder: RunDirectory.open(folder).read_resume())
