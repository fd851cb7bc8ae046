"""Where a run may be made, and that what was there is never lost on the way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from recurra.errors import RunError
from recurra.training import run_place
from recurra.training.run_directory import RunDirectory
from recurra.training.run_lock import RunLock
from training.tiny import Setup, TinyJob


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """At step 4."""
    Setup.of(steps=4).train(tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


def make(path: Path, overwrite: bool = False) -> RunDirectory:
    made = Setup.of(steps=2).create(path, TinyJob(seed=5), overwrite)
    made.unlock()
    return made


def step_of(path: Path) -> int:
    return RunDirectory.open(path).load_resume().step


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture(params=["exchange", "two renames"])
def way(request, monkeypatch) -> str:
    """With and without a system that exchanges two names at once."""
    if request.param == "two renames":
        monkeypatch.setattr(run_place, "_exchange", lambda one, other: False)
    return request.param


def test_a_run_is_overwritten(run, way):
    make(run.path, overwrite=True)
    assert step_of(run.path) == 0
    assert names(run.path.parent) == ["run"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_old_run(run, monkeypatch, failing):
    monkeypatch.setattr(run_place, "_exchange", lambda one, other: False)
    real, calls = Path.rename, [0]

    def rename(self, target):
        calls[0] += 1
        if calls[0] == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(RunError, match="Input/output error"):
            make(run.path, overwrite=True)
    assert step_of(run.path) == 4
    assert names(run.path.parent) == ["run"]


def test_an_exchange_that_is_refused_leaves_the_old_run(run, monkeypatch):
    def refuse(one, other):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(run_place, "_exchange", refuse)
    with pytest.raises(RunError, match="busy"):
        make(run.path, overwrite=True)
    assert step_of(run.path) == 4
    assert names(run.path.parent) == ["run"]


def test_what_a_kill_between_two_renames_left_is_put_back(run, capsys):
    old = run.path.with_name(".run.old")
    for look in (lambda: RunDirectory.open(run.path), lambda: run_place.check_free(run.path, overwrite=True)):
        run.path.rename(old)
        look()
        assert "put" in capsys.readouterr().err
        assert step_of(run.path) == 4
        assert names(run.path.parent) == ["run"]


def test_an_old_run_beside_a_new_one_is_never_deleted_unasked(run, monkeypatch):
    monkeypatch.setattr(run_place, "_exchange", lambda one, other: False)
    old = run.path.with_name(".run.old")
    make(old)
    with pytest.raises(RunError, match=r"\.run\.old: left by an earlier overwriting"):
        make(run.path, overwrite=True)
    assert step_of(run.path) == 4
    assert step_of(old) == 0


def test_a_half_built_run_is_built_anew(tmp_path):
    (tmp_path / ".run.part" / "resume").mkdir(parents=True)
    make(tmp_path / "run")
    assert names(tmp_path) == ["run"]


def test_a_link_under_the_temporary_name_is_not_followed(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / ".run.part").symlink_to(tmp_path / "precious")
    with pytest.raises(RunError, match="could not create"):
        make(tmp_path / "run")
    assert names(tmp_path / "precious") == ["file"]


def test_an_empty_folder_is_filled_and_not_replaced(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    before = folder.stat().st_ino
    made = make(folder)
    assert folder.stat().st_ino == before
    assert made.load_resume().step == 0
    assert names(tmp_path) == ["run"]
    assert run_place.INNER not in names(folder)


@pytest.mark.parametrize("failing", range(1, 9))
def test_a_filling_that_ended_early_is_no_run_and_begun_again(tmp_path, monkeypatch, failing):
    folder = tmp_path / "run"
    folder.mkdir()
    real, calls = Path.rename, [0]

    class Killed(BaseException):
        pass

    def rename(self, target):
        calls[0] += 1
        if calls[0] == failing:
            raise Killed
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        patch.setattr(run_place.shutil, "rmtree", lambda *a, **k: None)  # a kill cleans nothing up
        with pytest.raises(Killed):
            make(folder)
    with pytest.raises(RunError):
        RunDirectory.open(folder)
    (folder / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match="not a run of recurra"):
        make(folder)
    assert (folder / "thesis.tex").read_text() == "x"
    (folder / "thesis.tex").unlink()
    make(folder)
    assert step_of(folder) == 0
    assert run_place.INNER not in names(folder)


def test_the_current_folder_is_filled_but_not_replaced(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    make(Path())
    assert step_of(tmp_path / "here") == 0
    assert names(Path()) == names(tmp_path / "here")
    with pytest.raises(RunError, match="current folder"):
        make(Path(), overwrite=True)


def test_a_link_to_nothing_is_refused(tmp_path):
    (tmp_path / "run").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunError, match="a link to nothing"):
        run_place.check_free(tmp_path / "run")


def test_a_link_to_a_folder_is_where_the_run_goes(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    make(tmp_path / "run")
    assert step_of(tmp_path / "disk") == 0
    make(tmp_path / "run", overwrite=True)
    assert names(tmp_path) == ["disk", "run"]
    assert (tmp_path / "run").is_symlink()


@pytest.mark.parametrize("names", ['[".."]', '["../precious"]', "[1]", "{}", "[[", '["precious"]'])
def test_a_leftover_that_a_stranger_wrote_removes_nothing_else(tmp_path, names):
    """The list of what a filling has moved names entries of the folder, or nothing."""
    folder, precious = tmp_path / "run", tmp_path / "precious"
    (folder / ".run.part").mkdir(parents=True)
    (folder / ".run.part" / "names.json").write_text(names)
    precious.write_text("kept")
    run = Setup.of(steps=2).create(folder, TinyJob())
    run.unlock()
    assert precious.read_text() == "kept"
    assert RunDirectory.open(folder).load_resume().step == 0


def test_a_name_that_no_file_system_takes_is_refused(tmp_path):
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(RunError, match="no run can be made there") as caught:
            run_place.check_free(tmp_path / name)
        assert len(str(caught.value)) < 400


def test_a_name_that_is_no_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"a\xffb")
    Setup.of(steps=2).train(folder)
    assert Setup.of(steps=3).resume(folder).step == 3
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(RunError, match=r"model\.safetensors: not a whole safetensors file"):
        RunDirectory.open(folder)


def test_who_is_overwriting_just_now_is_not_disturbed(run):
    """Between two renames nothing is at NAME, and whoever looks for it must not put the old run back."""
    old = run.path.with_name(f".{run.path.name}.old")
    run.path.rename(old)
    with RunLock(old), pytest.raises(RunError, match="this process is writing into it"):
        RunDirectory.open(run.path)
    assert old.is_dir()
    assert RunDirectory.open(run.path).load_resume()
    assert not old.exists()
