"""Faults put into the sources one at a time, to see the tests turn red: `make mutants`.

Each mutant changes one place of src/recurra, in a copy of the sources and the tests, and names the tests that must
notice. First the same tests run on the unchanged copy, where they must pass. It exits with 1 where a mutant
survives, and where the table is no longer true: a text that is not found exactly once, tests that do not run.

    python tests/mutants.py                   # all of them, two at a time
    python tests/mutants.py --only beam       # those of which file or description contains "beam"
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mutant_table import MUTANTS, Mutant
from recurra.engine.cpu import build, cache

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300  # for the tests of one mutant
PASSED, FAILED = 0, 1  # pytest's exit codes; any other says that the tests did not run


@dataclass(frozen=True)
class Outcome:
    """What became of the tests under one mutant; `output` is pytest's."""

    what: str
    tests: tuple[str, ...]
    verdict: str
    seconds: float
    output: str


def mutated(mutant: Mutant, source: str) -> str:
    """The source with the fault in it.

    Raises:
        ValueError: the text to change does not occur exactly once.
    """
    count = source.count(mutant.old)
    if count != 1:
        raise ValueError(f"{mutant.file}: {mutant.old!r} occurs {count} times, expected once; edit the table")
    return source.replace(mutant.old, mutant.new)


def table_errors(chosen: Sequence[Mutant]) -> list[str]:
    """A line for each mutant whose text does not occur once."""
    errors = []
    for mutant in chosen:
        try:
            mutated(mutant, (ROOT / "src" / "recurra" / mutant.file).read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            errors.append(str(error))
    return errors


def copy_tree(folder: Path) -> Path:
    """A copy of the sources and the tests in a new folder."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", ".hypothesis")
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def environment(folder: Path, kernels: Path) -> dict[str, str]:
    """The copy first on the path, one thread, no bytecode, and a folder of compiled kernels for all mutants."""
    return os.environ | {
        "PYTHONPATH": str(folder / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(kernels),
    }


def run_tests(folder: Path, kernels: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Pytest's exit code, or a signal's negative number, and what it printed."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not full", "--timeout", "100"]
    places = [str(folder / "tests" / test) for test in tests]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *places],
            cwd=folder, env=environment(folder, kernels), timeout=SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return -1, f"not done after {SECONDS} seconds"
    return done.returncode, done.stdout


def try_mutant(mutant: Mutant, base: Path) -> Outcome:
    """Run the tests that must notice, on a copy with the fault."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=base) as name:
        folder = copy_tree(Path(name))
        file = folder / "src" / "recurra" / mutant.file
        file.write_text(mutated(mutant, file.read_text(encoding="utf-8")), encoding="utf-8")
        code, output = run_tests(folder, base / "kernels", mutant.tests)
    verdict = {FAILED: "killed", PASSED: "SURVIVED"}.get(code, f"ERROR (pytest exits with {code})")
    return Outcome(
        f"{mutant.file}: {mutant.what}", mutant.tests, verdict, time.perf_counter() - began, output
    )


def check_unchanged(tests: Sequence[str], base: Path, jobs: int) -> list[str]:
    """Run all named tests on an unchanged copy; what pytest prints where they do not pass."""
    with tempfile.TemporaryDirectory(dir=base) as name, ThreadPoolExecutor(jobs) as pool:
        folder = copy_tree(Path(name))
        where = subprocess.run(
            [sys.executable, "-c", "import recurra; print(recurra.__file__)"],
            env=environment(folder, base / "kernels"), stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip
        if not Path(where).is_relative_to(folder):
            return [f"the tests would run {where.strip()}, and not the copy"]
        parts = [tests[number::jobs] for number in range(jobs)]
        results = pool.map(lambda part: run_tests(folder, base / "kernels", part), filter(None, parts))
        return [output for code, output in results if code != PASSED]


def main() -> int:
    """Exit code 0 where every mutant is killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", default="", help="a part of the file's name or of the description")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    arguments = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if arguments.only in f"{mutant.file}: {mutant.what}"]
    if not chosen:
        parser.error(f"--only: no mutant's file or description contains {arguments.only!r}")
    errors = table_errors(chosen)
    if errors:
        print("\n".join(errors), file=sys.stderr)
        return 1
    if build.compiler() is None:
        print("There is no C++ compiler: the cpu backend's mutants are left out.", file=sys.stderr)
        chosen = [mutant for mutant in chosen if not mutant.file.startswith("engine/cpu/")]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="mutants-") as name, ThreadPoolExecutor(arguments.jobs) as pool:
        base = Path(name)
        # What is compiled already need not be compiled again: kernels are kept by the hash of their source.
        shutil.copytree(cache.folder(), base / "kernels" / "recurra" / "kernels")
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        print(f"unchanged: {len(tests)} selections of tests", flush=True)
        failures = check_unchanged(tests, base, arguments.jobs)
        if failures:
            print("\n".join(failures), "\nThe tests fail on the unchanged sources.", sep="", file=sys.stderr)
            return 1
        print(f"passed in {time.perf_counter() - began:.0f} s\n", flush=True)
        outcomes = []
        for outcome in pool.map(lambda mutant: try_mutant(mutant, base), chosen):
            outcomes.append(outcome)
            print(
                f"{outcome.verdict:8}  {outcome.seconds:5.1f} s  {outcome.what}  [{', '.join(outcome.tests)}]",
                flush=True,
            )
    alive = [outcome for outcome in outcomes if outcome.verdict != "killed"]
    for outcome in alive:
        print(f"\n{outcome.verdict}: {outcome.what}\n{outcome.output[-3000:]}", file=sys.stderr)
    print(
        f"\n{len(outcomes) - len(alive)} of {len(outcomes)} killed in {time.perf_counter() - began:.0f} s",
        flush=True,
    )
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
