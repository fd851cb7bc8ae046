"""SIGKILL at moments drawn from a printed seed: the run is absent, or continues to the very same end."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from recurra.training.run_directory import RunDirectory
from training.tiny import assert_same_end, run_in_process

STEPS, MOMENTS = 30, 20
OPTIONS = {"steps": STEPS, "evaluate_every": 8, "save_every": 5, "keep": 2}

# Children are forked from a server that has imported torch, so that a start takes milliseconds.
CONTEXT = multiprocessing.get_context("forkserver")
# (The server does not find the tests' own modules, and would pass over them in silence.)
CONTEXT.set_forkserver_preload(["torch._dynamo", "recurra.training.loop", "recurra.training.resume", "yaml"])


def start(folder: Path, resume: bool, before: float = 0.0) -> multiprocessing.process.BaseProcess:
    process = CONTEXT.Process(target=run_in_process, args=(folder, resume, OPTIONS, before))
    process.start()
    return process


def wait_for(folder: Path, process: multiprocessing.process.BaseProcess) -> float:
    """The time at which the folder appears."""
    while not folder.exists() and process.is_alive():
        time.sleep(0.0002)
    return time.perf_counter()


def finish(process: multiprocessing.process.BaseProcess) -> None:
    process.join()
    assert process.exitcode == 0


def kill(process: multiprocessing.process.BaseProcess) -> bool:
    """Whether SIGKILL came before the end."""
    process.kill()
    process.join()
    return process.exitcode != 0


@pytest.fixture(scope="module")
def generator() -> random.Random:
    seed = int(os.environ.get("RECURRA_KILL_SEED", time.time_ns() % 10**6))
    print(f"RECURRA_KILL_SEED={seed}")
    return random.Random(seed)


@pytest.mark.timeout(300)
def test_killed_at_any_moment_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path, generator):
    whole = start(tmp_path / "whole", resume=False)
    appeared = wait_for(tmp_path / "whole", whole)
    finish(whole)
    span = time.perf_counter() - appeared
    steps = set()
    for moment in range(MOMENTS):
        seconds = span * (moment + generator.random()) / MOMENTS
        killed = False
        while not killed:  # a machine faster than before may have ended sooner
            folder = tmp_path / f"run{moment}-{seconds:.6f}"
            process = start(folder, resume=False)
            wait_for(folder, process)
            time.sleep(seconds)
            killed = kill(process)
            seconds *= 0.9
        steps.add(RunDirectory.open(folder).load_resume().step)
        finish(start(folder, resume=True))
        assert_same_end(tmp_path / "whole", folder)
    assert len(steps) > 3, "the moments are not spread over the run"


def test_killed_before_the_directory_appears_leaves_none(tmp_path, generator):
    """The run is built under another name for half a second; what a kill leaves there is in nobody's way."""
    for moment in range(3):
        folder = tmp_path / f"run{moment}"
        process = start(folder, resume=False, before=0.5)
        building = folder.with_name(f".{folder.name}.part")
        wait_for(building, process)
        time.sleep(0.4 * generator.random())
        assert kill(process)
        assert not folder.exists()
        assert building.exists()
        finish(start(folder, resume=False))
        assert not building.exists()
        assert RunDirectory.open(folder).load_resume().step == STEPS


def test_killed_while_resumed_and_resumed_again(tmp_path, generator):
    finish(start(tmp_path / "whole", resume=False))
    folder = tmp_path / "run"
    process = start(folder, resume=False)
    wait_for(folder, process)
    for _ in range(4):
        time.sleep(0.3 * generator.random())
        kill(process)
        process = start(folder, resume=True)
    finish(process)
    assert_same_end(tmp_path / "whole", folder)
