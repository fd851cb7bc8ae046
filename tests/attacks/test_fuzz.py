"""A few cases of `benchmarks/fuzz.py`, none of which fails; and what would be a failure."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SAID = "recurra: --x: expected a number, got 'y'.\n"


@pytest.mark.timeout(400)
def test_none_of_a_few_cases_fails(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "fuzz.py"), "--cases", "90"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["failed"] == []
    assert figures["cases"] == 90
    assert {"runs 2", "configurations 2", "texts 2"} <= set(figures["exit_codes"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "err", "wrong"),
    [
        (0, "", ""),
        (2, SAID, ""),
        (2, "recurra: valid: 3 lines are left out\n" + SAID, ""),
        (130, "", ""),
        (2, "", "no line that says why"),
        (2, SAID + "and so on\n", "more than one line"),
        (2, f"recurra: {'x' * 500}\n", "a line of over 500 characters"),
        (2, "Traceback (most recent call last):\n" + SAID, "a traceback"),
        (1, SAID, "exit code 1"),
        (-6, "", "exit code -6"),
        (-14, "", "took over 5.0 seconds"),
    ],
)
def test_what_is_a_failure(monkeypatch, code, err, wrong):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    fuzz, forked = (importlib.import_module(name) for name in ("fuzz", "forked"))
    assert fuzz.wrong_with(forked.Ended(code, "", err, 0.1, 1.0)) == wrong


def test_a_case_is_the_same_again(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    text = importlib.import_module("hostile").text
    made = []
    for name in ("one", "two"):
        inside = tmp_path / name
        inside.mkdir()
        case = text(7, tmp_path, inside, tmp_path)
        files = {path.name: path.read_bytes() for path in inside.iterdir()}
        made.append(([str(word).replace(str(inside), "") for word in case.arguments], files))
    assert made[0] == made[1]
