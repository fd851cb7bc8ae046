"""Whole commands on every hostile file, in the place of what they read and of what they write into."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from attacks.clock import Late, at_most
from attacks.hostile_files import MAKE, PLACES
from recurra.cli import main
from recurra.data import files

SECONDS, CHARACTERS = 10, 500
SMALL = (
    *("--training.steps", "4", "--training.evaluate_every", "2", "--training.keep", "2"),
    *("--training.batch_size", "2", "--training.bptt", "8", "--model.hidden_size", "4"),
)
READ = {
    "score": ("score", "RUN", "FILE"),
    "evaluate": ("evaluate", "RUN", "--data.test", "FILE"),
    "bleu of outputs": ("bleu", "FILE", "TEXT"),
    "bleu against references": ("bleu", "TEXT", "FILE"),
    "config": ("train", "lm", "--config", "FILE", "--data.train", "absent", "--out", "NEW"),
    "run": ("evaluate", "FILE"),
    "start from": ("train", "lm", "--training.start_from", "FILE", "--data.train", "TEXT", "--out", "NEW"),
}
WRITTEN = {
    "train": ("train", "lm", "--data.train", "TEXT", *SMALL, "--out", "FILE"),
    "average": ("average", "RUN", "--out", "FILE"),
    "average anew": ("average", "RUN", "--out", "FILE", "--overwrite"),
    "picture": ("inspect", "gates", "RUN", "--text", "the", "--out", "FILE"),
    "table": ("evaluate", "RUN", "--out", "FILE"),
}
IN_A_RUN = {
    "metrics.jsonl": ("average", "RUN", "--out", "NEW", "--overwrite"),
    "checkpoints": ("average", "RUN", "--out", "NEW", "--overwrite"),
    "checkpoints/4.safetensors": ("average", "RUN", "--out", "NEW", "--overwrite"),
    "resume": ("resume", "RUN"),
    "resume/4/tensors.safetensors": ("resume", "RUN"),
    "plots": ("resume", "RUN"),
    "plots/training.png": ("resume", "RUN"),
    "vocabularies": ("evaluate", "RUN"),
}
LONG = {"a million lines", "one long line", "one long word", "JSON of long texts", "deep JSON", "deep object"}
"""Nothing is wrong with them as texts, but a model takes seconds to read them."""


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("commands")
    (folder / "text.txt").write_text("the cat sees the dog\nthe dog hears the cow\n" * 30)
    given = ("train", "lm", "--data.train", str(folder / "text.txt"), "--out", str(folder / "run"))
    assert main([*given, *SMALL]) == 0
    return folder


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A pipe that nobody writes to is not waited for long."""
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.1)


def complaint(*arguments: object) -> str:
    """What is wrong with how a command ends; empty where it is done, or exits 2 with a line that says why."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            with at_most(SECONDS):
                code = main([str(argument) for argument in arguments])
        except Late:
            return f"took over {SECONDS} seconds"
    lines = said.getvalue().splitlines()
    if code not in (0, 2):
        return f"exit code {code}: {lines[-1:]}"
    if code == 2 and not lines[-1].startswith("recurra: "):
        return f"no line that says why: {lines[-1:]}"
    wrong = [line for line in lines if len(line) > CHARACTERS or not line.isprintable()]
    return f"no short line: {wrong[0][:100]!r}" if code == 2 and wrong else ""


def complaints(
    names: Iterable[str], place: Callable[[], Path], given: Callable[[Path], tuple[object, ...]]
) -> dict[str, str]:
    """The hostile files on which a command ends wrongly, and how."""
    wrong = {}
    for name in names:
        path = place()
        MAKE[name](path)
        if found := complaint(*given(path)):
            wrong[name] = found
        _remove(path)
    return wrong


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("command", READ)
def test_a_file_that_is_read(command, base, tmp_path):
    places = {"RUN": base / "run", "TEXT": base / "text.txt", "NEW": tmp_path / "new"}

    def given(path: Path) -> tuple[object, ...]:
        return tuple((places | {"FILE": path}).get(word, word) for word in READ[command])

    names = [name for name in MAKE if command not in ("score", "evaluate") or name not in LONG]
    assert complaints(names, lambda: tmp_path / "it", given) == {}


@pytest.mark.parametrize("command", WRITTEN)
def test_a_place_that_is_written_to(command, base, tmp_path):
    places = {"RUN": base / "run", "TEXT": base / "text.txt"}

    def given(path: Path) -> tuple[object, ...]:
        return tuple((places | {"FILE": path}).get(word, word) for word in WRITTEN[command])

    assert complaints([*PLACES, "random bytes"], lambda: tmp_path / "it", given) == {}


@pytest.mark.parametrize("damaged", IN_A_RUN)
def test_a_place_in_a_run(damaged, base, tmp_path):
    """What a run keeps is replaced, and the command that reads it, or writes into it, is given."""
    run = tmp_path / "run"
    places = {"RUN": run, "NEW": tmp_path / "new"}

    def place() -> Path:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(base / "run", run)
        assert (run / damaged).exists()
        _remove(run / damaged)
        return run / damaged

    def given(path: Path) -> tuple[object, ...]:
        return tuple(places.get(word, word) for word in IN_A_RUN[damaged])

    names = [*PLACES, "random bytes"] if damaged.startswith("plots") else list(MAKE)  # each draws a picture
    assert complaints(names, place, given) == {}


def test_a_link_in_a_run_leads_nowhere(base, tmp_path):
    """Training goes on writing into a run, and nothing outside of it changes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "it").write_text("unharmed")
    names = [path.relative_to(base / "run") for path in (base / "run").rglob("*")]
    for number, name in enumerate(names):
        run = tmp_path / str(number)
        shutil.copytree(base / "run", run)
        target = outside if (run / name).is_dir() else outside / "it"
        _remove(run / name)
        (run / name).symlink_to(target)
        assert complaint("resume", run) == "", name
        assert [path.name for path in outside.iterdir()] == ["it"], name
        assert (outside / "it").read_text() == "unharmed", name
