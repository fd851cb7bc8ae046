"""Thousands of damaged run files, configurations and texts: which of them end in anything but a line that helps.

    python benchmarks/fuzz.py [--minutes 1 | --cases N] [--what runs configurations texts] [--seed 1] [--replay NUMBER]

Each case is a number: it seeds what is drawn, so that a failure can be made again. A case fails where a command exits
with anything but 0, 2 and 130, takes over five seconds, asks for over a gigabyte, prints more than one line of over 500
characters with exit code 2, or touches a file outside of its folder. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import count, takewhile
from pathlib import Path

from forked import Ended, command, prepare, quietly, run, side_by_side
from hostile import COMMANDS, KINDS, Case

from recurra.inspection.machine import describe

SECONDS, GIGABYTES, CHARACTERS = 5.0, 1.0, 500


def main() -> None:
    """Run the cases, and print each failure and the counts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--minutes", type=float, default=1.0)
    limit.add_argument("--cases", type=int, help="so many, however long they take")
    parser.add_argument("--what", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--replay", type=int, help="the number of one case, whose output is shown")
    options = parser.parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as name:
        base = make_base(Path(name))
        if options.replay is not None:
            replay(base, options.what[0], options.replay)
            return
        first = options.seed * 10**9
        until = time.monotonic() + 60 * options.minutes
        numbers: Iterable[int] = takewhile(lambda _: time.monotonic() < until, count(first))
        if options.cases is not None:
            numbers = range(first, first + options.cases)
        print(json.dumps(fuzz(base, options.what, numbers, options.workers) | describe()))


def make_base(folder: Path) -> Path:
    """Small trained runs and texts, which every case damages a copy of."""
    base = folder / "base"
    base.mkdir()
    nouns, verbs = ("cat", "dog", "cow"), ("sees", "hears", "likes")
    lines = [f"the {one} {verb} the {other}" for one in nouns for verb in verbs for other in nouns]
    (base / "lines.txt").write_text("\n".join(lines * 6) + "\n", encoding="utf-8")
    pairs = [f"{line}\t{' '.join(reversed(line.split()))}" for line in lines]
    (base / "pairs.tsv").write_text("\n".join(pairs) + "\n", encoding="utf-8")
    train = (
        "--training.steps",
        4,
        "--training.evaluate_every",
        2,
        "--training.keep",
        2,
        "--model.hidden_size",
        6,
    )
    text, tsv = ("--data.train", base / "lines.txt"), ("--data.train", base / "pairs.tsv")
    windows = ("--training.batch_size", 2, "--training.bptt", 8)
    made = {
        "lm": ("train", "lm", *text, *train, *windows),
        "subwords": (
            "train",
            "lm",
            *text,
            *train,
            "--data.vocabulary",
            "subwords",
            "--data.subword_size",
            40,
            *windows,
        ),
        "translate": (
            "train",
            "translate",
            *tsv,
            *train,
            "--model.embedding_size",
            4,
            "--data.held_out",
            0.2,
        ),
    }
    for run_name, arguments in made.items():
        quietly(*arguments, "--out", base / run_name)
        places = {
            "RUN": base / run_name,
            "lines.txt": base / "lines.txt",
            "mean": folder / f"mean of {run_name}",
        }
        places["gates.png"] = folder / "gates.png"
        for used in COMMANDS:  # what they import and compile is shared by all cases
            quietly(*(places.get(str(part), part) for part in used))
    return base


def fuzz(base: Path, kinds: list[str], numbers: Iterable[int], workers: int) -> dict[str, object]:
    """These cases, of each kind in turn; failures are printed as they come."""
    codes: Counter[str] = Counter()
    failures: list[dict[str, object]] = []
    slowest, largest = 0.0, 0.0
    for number, told in side_by_side(numbers, partial(_one, base, kinds), workers):
        if not told:  # its traceback has been printed
            kind = kinds[number % len(kinds)]
            failures.append({"what": kind, "case": number, "wrong": "no case was made", "shown": ""})
            continue
        kind, code, seconds, megabytes, wrong, shown = ast.literal_eval(str(told))
        codes[f"{kind} {code}"] += 1
        slowest, largest = max(slowest, seconds), max(largest, megabytes)
        if wrong:
            failures.append({"what": kind, "case": number, "wrong": wrong, "shown": shown})
            print(f"{kind} {number}: {wrong}: {shown}", flush=True)
    return {
        "cases": sum(codes.values()),
        "exit_codes": dict(sorted(codes.items())),
        "failures": len(failures),
        "slowest_seconds": round(slowest, 2),
        "largest_megabytes": round(largest),
        "failed": failures[:20],
    }


def _one(base: Path, kinds: list[str], number: int) -> tuple[object, ...]:
    kind = kinds[number % len(kinds)]
    case, ended, wrong = try_case(base, kind, number)
    shown = f"{case.what}: {case.arguments[:2]}: {ended.err.strip()[-300:]}" if wrong else ""
    return kind, ended.code, ended.seconds, ended.megabytes, wrong, shown


def try_case(base: Path, kind: str, number: int) -> tuple[Case, Ended, str]:
    """Make a case in a folder of its own, run its command, and say what was wrong with it, if anything was."""
    with tempfile.TemporaryDirectory(dir=base.parent) as name:
        folder = Path(name)
        inside, outside, log = folder / "inside", folder / "outside", folder / "log"
        inside.mkdir()
        outside.mkdir()
        (outside / "canary").write_text("unharmed")
        case = KINDS[kind](number, base, inside, outside)
        os.chdir(inside)
        ended = run(command(*case.arguments, stdin=case.stdin), log, SECONDS, GIGABYTES)
        wrong = wrong_with(ended)
        if _names(folder) != ["inside", "log", "outside"] or _names(outside) != ["canary"]:
            wrong = "files outside of its folder"
        elif (outside / "canary").read_text() != "unharmed":
            wrong = "changed a file outside of its folder"
        os.chdir(base)
        _unlock(folder)
        return case, ended, wrong


def wrong_with(ended: Ended) -> str:
    """What is wrong with how a command ended; empty where nothing is."""
    if ended.code == -14:
        return f"took over {SECONDS} seconds"
    if ended.code not in (0, 2, 130):
        return f"exit code {ended.code}"
    lines = [line for line in ended.err.splitlines() if line.startswith("recurra: ")]
    if ended.code == 2 and not lines:
        return "no line that says why"
    if "Traceback (most recent call last)" in ended.err:
        return "a traceback"
    if any(len(line) > CHARACTERS for line in ended.err.splitlines()):
        return f"a line of over {CHARACTERS} characters"
    if ended.code == 2 and not ended.err.rstrip("\n").splitlines()[-1].startswith("recurra: "):
        return "more than one line"
    return ""


def replay(base: Path, kind: str, number: int) -> None:
    """Run one case again and show it."""
    case, ended, wrong = try_case(base, kind, number)
    print(case.what, *case.arguments, sep=" ")
    print(ended.err)
    print(
        f"exit code {ended.code}, {ended.seconds:.2f} s, {ended.megabytes:.0f} MB: {wrong or 'as it should be'}"
    )


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def _unlock(folder: Path) -> None:
    for path, folders, _ in os.walk(folder):
        for name in folders:
            if not (Path(path) / name).is_symlink():
                (Path(path) / name).chmod(0o700)
    shutil.rmtree(folder / "inside", ignore_errors=True)


if __name__ == "__main__":
    main()
