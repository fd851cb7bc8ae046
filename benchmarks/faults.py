"""Kills, full disks and broken disks while runs are trained, resumed, averaged and overwritten: is anything lost?

    python benchmarks/faults.py [--kills 1000] [--calls 2000] [--seed 1]

A kill comes at a random moment, or before a file call; a refused call is one file call (opening, writing, flushing,
renaming, removing) that fails once with ENOSPC or EIO. Afterwards the command is given again, and the run must end as
one that nothing happened to: bit for bit the same tensors, and the same metrics but for the clock. The last line is one
JSON object, in which `lost` and `unequal` should be 0.
"""

from __future__ import annotations

import argparse
import ast
import ctypes
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from forked import Ended, command, prepare, quietly, run, side_by_side, start, wait

from recurra.inspection.machine import describe

KILL = 0
CLOCK = ("seconds", "tokens_per_second")
OPERATIONS = ("train", "resume", "average", "overwrite")


@dataclass(frozen=True)
class Trial:
    """What is done to one command.

    Attributes:
        task, operation: which command.
        seed: of the moment of a kill.
        call: the file call that is refused, from 1 on; 0: a kill at a random moment.
        error: with which error number; `KILL`: the process is killed before it.
    """

    task: str
    operation: str
    seed: int
    call: int = 0
    error: int = KILL


def main() -> None:
    """Run all trials, and print those that failed and the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=2000, help="at most so many refused calls")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        if "RECURRA_REFUSING" not in os.environ:
            library = build_library(folder)
            environment = os.environ | {"LD_PRELOAD": str(library), "RECURRA_REFUSING": "1"}
            sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode)
        prepare()
        make_base(folder)
        found = faults(folder, options.kills, options.calls, options.seed, options.workers)
        print(json.dumps(found | describe()))


def build_library(folder: Path) -> Path:
    """The library that refuses calls, compiled."""
    library = folder / "refusing_files.so"
    source = Path(__file__).with_name("refusing_files.c")
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run(
        [*compiler, "-O1", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"], check=True
    )
    return library


def commands(folder: Path, place: Path) -> dict[tuple[str, str], tuple[object, ...]]:
    """The command of each task and operation, on the run at a place."""
    train = {
        "lm": ("--data.train", folder / "lines.txt", "--training.batch_size", 2, "--training.bptt", 8),
        "translate": (
            "--data.train",
            folder / "pairs.tsv",
            "--model.embedding_size",
            4,
            "--data.held_out",
            0.2,
        ),
    }
    made: dict[tuple[str, str], tuple[object, ...]] = {}
    for task, options in train.items():
        common = ("--training.steps", 9, "--training.evaluate_every", 3, "--training.save_every", 2)
        size = ("--training.keep", 2, "--model.hidden_size", 6, "--model.dropout", 0.1)
        whole = ("train", task, *options, *common, *size, "--out", place)
        made[task, "train"] = whole
        made[task, "overwrite"] = (*whole, "--overwrite")
        made[task, "resume"] = ("resume", place)
        made[task, "average"] = ("average", place, "--out", place.with_name("mean"))
    return made


def make_base(folder: Path) -> None:
    """Texts; and for each task the whole run, its mean, one that was killed halfway, and another to overwrite."""
    nouns, verbs = ("cat", "dog", "cow"), ("sees", "hears", "likes")
    lines = [f"the {one} {verb} the {other}" for one in nouns for verb in verbs for other in nouns]
    (folder / "lines.txt").write_text("\n".join(lines * 6) + "\n", encoding="utf-8")
    pairs = [f"{line}\t{' '.join(reversed(line.split()))}" for line in lines]
    (folder / "pairs.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    for task in ("lm", "translate"):
        base = folder / task
        base.mkdir()
        given = commands(folder, base / "whole")
        quietly(*given[task, "train"])
        quietly("average", base / "whole", "--out", base / "mean")
        quietly(*commands(folder, base / "old")[task, "train"], "--training.seed", 7)
        _make_half(folder, task)


def _make_half(folder: Path, task: str) -> None:
    """A run that was killed between two saves."""
    base = folder / task
    work = command(*commands(folder, base / "half")[task, "train"])
    calls = count_calls(work, base)
    for call in range(calls // 2, calls):
        shutil.rmtree(base / "half", ignore_errors=True)
        run(partial(with_refusal, work, call, KILL, base / "half"), base / "log")
        if (base / "half" / "resume" / "4").is_dir():
            return
    raise AssertionError("no kill left a run halfway")


def with_refusal(work: partial[int | None], call: int, error: int, place: Path) -> int | None:
    """Do the work with one file call refused."""
    ctypes.CDLL(None).refuse_call(ctypes.c_long(call), ctypes.c_int(error), os.fsencode(place.parent))
    return work()


def count_calls(work: object, base: Path) -> int:
    """How many file calls a command makes below a folder."""

    def counted() -> int:
        with_refusal(work, -1, KILL, base / "x")  # type: ignore[arg-type]
        (base / "count").write_text("")
        seen = ctypes.CDLL(None).calls_seen
        seen.restype = ctypes.c_long
        number = seen()
        ctypes.CDLL(None).refuse_call(ctypes.c_long(-1), ctypes.c_int(0), b"")
        (base / "count").write_text(str(number))
        return 0

    ended = run(counted, base / "log")
    assert ended.code == 0, ended.err
    return int((base / "count").read_text())


def faults(folder: Path, kills: int, calls: int, seed: int, workers: int) -> dict[str, object]:
    """Run the trials; failures are printed as they come."""
    began = time.monotonic()
    each = [(task, operation) for task in ("lm", "translate") for operation in OPERATIONS]
    counts = {
        pair: count_calls(command(*_set_up(folder, *pair, folder / "counted")), folder / "counted")
        for pair in each
    }
    drawn = random.Random(seed)
    before = [Trial(*pair, 0, call) for pair in each for call in range(1, counts[pair] + 1)]
    drawn.shuffle(before)
    trials = before[: kills // 2]
    trials += [
        Trial(*each[number % len(each)], seed * 10**6 + number) for number in range(kills - len(trials))
    ]
    refusals = [
        Trial(*pair, 0, call, error)
        for pair in each
        for call in range(1, counts[pair] + 1)
        for error in (errno.ENOSPC, errno.EIO)
    ]
    drawn.shuffle(refusals)
    trials += refusals[:calls]
    durations = _durations(folder, each)
    found: Counter[str] = Counter()
    failed: list[str] = []
    one = partial(_one, folder, trials, durations)
    for number, told in side_by_side(iter(range(len(trials))), one, workers):
        kind, wrong = ast.literal_eval(str(told))
        found[kind] += 1
        if wrong:
            found[wrong.partition(":")[0]] += 1
            failed.append(f"{trials[number]}: {wrong}")
            print(failed[-1], flush=True)
    return {
        "kills": found["kill"],
        "refused_calls": found["refused"],
        "calls_of_each": {f"{task} {operation}": count for (task, operation), count in counts.items()},
        "lost": found["lost"],
        "unequal": found["unequal"],
        "badly_told": found["told"],
        "minutes": round((time.monotonic() - began) / 60, 1),
        "failed": failed[:20],
    }


def _durations(folder: Path, each: list[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """The seconds that each command takes."""
    durations = {}
    for pair in each:
        shutil.rmtree(folder / "timed", ignore_errors=True)
        work = command(*_set_up(folder, *pair, folder / "timed"))
        durations[pair] = run(work, folder / "timed" / "log").seconds
    return durations


def _set_up(folder: Path, task: str, operation: str, place: Path) -> tuple[object, ...]:
    """What a command finds, in a folder of its own; returns the command."""
    place.mkdir(exist_ok=True)
    here = {"resume": "half", "average": "whole", "overwrite": "old"}.get(operation)
    target = place / "run"
    shutil.rmtree(target, ignore_errors=True)
    shutil.rmtree(place / "mean", ignore_errors=True)
    if here:
        shutil.copytree(folder / task / here, target)
    return commands(folder, target)[task, operation]


def _one(
    folder: Path, trials: list[Trial], durations: dict[tuple[str, str], float], number: int
) -> tuple[str, str]:
    """One trial: its kind, and what went wrong, or nothing."""
    trial = trials[number]
    place = folder / f"trial{number}"
    log = folder / f"log{number}"  # not below what is refused
    arguments = _set_up(folder, trial.task, trial.operation, place)
    work = command(*arguments)
    if trial.call:
        ended = run(partial(with_refusal, work, trial.call, trial.error, place / "x"), log)
    else:
        ended = _killed(work, log, durations[trial.task, trial.operation], trial.seed)
    told = "" if trial.error == KILL else _told(ended)
    wrong = told or _after(folder, trial, place, ended)
    for made in (place, log):
        shutil.rmtree(made, ignore_errors=True)
    return "refused" if trial.error else "kill", wrong


def _killed(work: object, log: Path, duration: float, seed: int) -> Ended:
    """Start a command and kill it at a random moment."""
    log.mkdir()
    began = time.perf_counter()
    child = start(work, log, 60.0, None)  # type: ignore[arg-type]
    time.sleep(duration * random.Random(seed).random())
    os.kill(child, signal.SIGKILL)
    return wait(child, began, log)


def _told(ended: Ended) -> str:
    if ended.code not in (0, 2):
        return f"told: exit code {ended.code}: {ended.err[-300:]}"
    lines = [line for line in ended.err.splitlines() if line.startswith("recurra: ")]
    if ended.code == 2 and (not lines or "Traceback" in ended.err):
        return f"told: {ended.err[-300:]}"
    return ""


def _after(folder: Path, trial: Trial, place: Path, ended: Ended) -> str:
    """Give the command again, and compare its end with that of a run that nothing happened to."""
    base, target = folder / trial.task, place / "run"
    if trial.operation == "average":
        if not _same(base / "whole", target):
            return "unequal: the run that was averaged"
        if (place / "mean").exists() and not _opens(place / "mean"):
            return "lost: the mean does not open"
        again = () if not (place / "mean").exists() else ("--overwrite",)
        last = run(command(*commands(folder, target)[trial.task, "average"], *again), place / "log2")
        return _verdict(last, base / "mean", place / "mean")
    if trial.operation == "overwrite":
        if not _opens(target):
            return f"lost: neither run opens: {_shown(place)}"
        if _same(base / "old", target):
            last = run(command(*commands(folder, target)[trial.task, "overwrite"]), place / "log2")
            return _verdict(last, base / "whole", target)
    if trial.operation == "resume" and not _opens(target):
        return f"lost: {_shown(place)}"
    verb = "resume" if _opens(target) else "train"
    if verb == "train" and target.exists():
        return f"lost: a run that does not open: {_shown(place)}"
    last = run(command(*commands(folder, target)[trial.task, verb]), place / "log2")
    return _verdict(last, base / "whole", target)


def _verdict(ended: Ended, wanted: Path, got: Path) -> str:
    if ended.code:
        return f"lost: {ended.err[-300:]}"
    leftovers = [path.name for path in got.parent.iterdir() if path.name.endswith((".part", ".old"))]
    if leftovers:
        return f"lost: left {leftovers}"
    return "" if _same(wanted, got) else "unequal: another end"


def _shown(place: Path) -> str:
    return ", ".join(sorted(path.name for path in place.iterdir()))


def _opens(path: Path) -> bool:
    """Whether a run opens and can be resumed or used."""
    from recurra.errors import RunError
    from recurra.tasks.opened import open_run

    try:
        opened = open_run(path)
        opened.directory.load_weights()
        opened.vocabularies  # noqa: B018 - which reads them
        if "averaged" not in opened.record:
            opened.directory.latest  # noqa: B018
    except RunError:
        return False
    return True


def _same(wanted: Path, got: Path) -> bool:
    """Whether two runs hold bit for bit the same tensors, and the same metrics but for the clock."""
    import torch

    from recurra.training.run_directory import RunDirectory

    runs = [RunDirectory.open(path) for path in (wanted, got)]
    tensors = []
    for one in runs:
        state = one.path / "resume" / one.latest if (one.path / "resume" / "latest").exists() else None
        held = {f"best.{name}": tensor for name, tensor in one.load_weights().items()}
        if state is not None:
            held |= one.read_resume().tensors
        tensors.append(held)
    metrics = [[{key: row[key] for key in row if key not in CLOCK} for row in one.metrics()] for one in runs]
    return (
        tensors[0].keys() == tensors[1].keys()
        and all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
        and metrics[0] == metrics[1]
    )


if __name__ == "__main__":
    main()
