"""One writer per run: the second is refused and told who the first is; a dead one holds nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from recurra.errors import RunError
from recurra.training.run_directory import RunDirectory
from recurra.training.run_lock import LOCK, RunLock
from training.tiny import Setup, TinyJob


def hold(folder: Path, ready, end) -> None:
    with RunLock(folder):
        ready.set()
        end.wait()


def wait_for_ever(ready) -> None:
    ready.set()
    signal.pause()


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of `tmp_path`."""
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready, end))
    process.start()
    ready.wait()
    yield process
    process.kill()
    process.join()


def test_the_second_writer_is_refused_in_a_line_that_names_the_first(tmp_path, holder):
    with pytest.raises(
        RunError, match=rf"process {holder.pid} \(.*, since 2.*\) is writing into it; wait"
    ) as caught:
        RunLock(tmp_path)
    assert "\n" not in str(caught.value)
    holder.kill()  # which leaves no lock behind
    holder.join()
    RunLock(tmp_path).release()


def test_a_second_lock_in_the_same_process_is_refused(tmp_path):
    with RunLock(tmp_path), pytest.raises(RunError, match="this process is writing into it"):
        RunLock(tmp_path)
    with RunLock(tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"process": "x"}'])
def test_a_holder_that_is_not_said_is_another_process(tmp_path, holder, content):
    (tmp_path / LOCK).write_bytes(content)
    with pytest.raises(RunError, match="another process is writing"):
        RunLock(tmp_path)


def test_long_commands_are_cut(tmp_path, holder):
    values = {"process": 1, "command": "x y\n" * 999, "host": "h" * 3000}
    (tmp_path / LOCK).write_text(json.dumps(values))
    with pytest.raises(RunError) as caught:
        RunLock(tmp_path)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", ["link", "pipe", "folder"])
def test_only_a_plain_file_is_locked(tmp_path, make):
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    path = tmp_path / LOCK
    {
        "link": lambda: path.symlink_to(outside),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
    }[make]()
    with pytest.raises(RunError, match=r"\.lock: .*remove"):
        RunLock(tmp_path)
    assert outside.read_bytes() == b"precious"


def test_a_snapshot_of_hard_links_has_a_lock_of_its_own(tmp_path):
    """Neither run stands in the other's way, and what the second name belongs to stays as it is."""
    outside, folder = tmp_path / "outside", tmp_path / "run"
    folder.mkdir()
    outside.write_bytes(b"precious")
    (folder / LOCK).hardlink_to(outside)
    with RunLock(folder):
        assert outside.read_bytes() == b"precious"
        assert not (folder / LOCK).samefile(outside)
        with pytest.raises(RunError, match="this process is writing"):
            RunLock(folder)


def test_a_child_process_does_not_hold_what_its_parent_let_go(tmp_path):
    lock = RunLock(tmp_path)
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=wait_for_ever, args=(ready,))
    process.start()
    ready.wait()
    try:
        with pytest.raises(RunError, match="this process is writing"):
            RunLock(tmp_path)
        os.close(lock._descriptor)  # as a kill does, which unlocks nothing
        lock._descriptor = None
        RunLock(tmp_path).release()
    finally:
        process.kill()
        process.join()


def test_a_run_is_locked_while_it_is_made_and_trained(tmp_path):
    setup = Setup.of(steps=2)
    run = setup.create(tmp_path / "run", TinyJob())
    for attempt in (lambda: setup.resume(tmp_path / "run"), lambda: RunDirectory.open(run.path).lock()):
        with pytest.raises(RunError, match="this process is writing into it"):
            attempt()
    with pytest.raises(RunError, match="this process is writing into it"):
        setup.create(run.path, TinyJob(), overwrite=True)
    assert RunDirectory.open(run.path).load_resume().step == 0  # reading asks for no lock
    run.unlock()
    assert setup.resume(run.path).step == 2
