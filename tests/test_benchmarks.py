"""Every benchmark still runs, at sizes that measure nothing, on pairs and lines made here."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
WORDS = [
    "ein",
    "der",
    "hund",
    "die",
    "frau",
    "isst",
    "rot",
    "blau",
    "gross",
    "klein",
    "mann",
    "kind",
    "ball",
    "haus",
    "auto",
    "baum",
]

QUICK = {
    "step_overhead": ("--steps", "3"),
    "defaults": ("--task", "translate", "--data", "{pairs}", "--sizes", "300", "--minutes", "0.02"),
    "where_time_goes": ("--shape", "5x4x32", "--repeats", "2"),
    "dates": ("--data", "{dates}", "--minutes", "0.02"),
}
SLOW = {
    "denormals": ("--repeats", "1"),
    "cells": ("--shapes", "5x4x32", "--cells", "gru", "--repeats", "1"),
    "streaming": ("--repeats", "1"),
    "compile_times": ("--cells", "gru"),
    "translate_speed": ("--data", "{multi30k}", "--repeats", "1", "--batches", "2", "--updates", "2"),
    "multi30k": ("--data", "{multi30k}", "--minutes", "0.05", "--runs", "2"),
    "tatoeba": ("--data", "{pairs}", "--minutes", "0.03"),
    "shakespeare": ("--data", "{lines}", "--seconds", "3"),
    "wikitext2": ("--data", "{wikitext2}", "--minutes", "0.05"),
}


def lines(seed: int, count: int) -> list[str]:
    drawn = random.Random(seed)
    return [" ".join(drawn.choices(WORDS, k=drawn.randint(3, 9))) for _ in range(count)]


def write(path: Path, texts: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("benchmarks")
    write(folder / "pairs.tsv", [f"{one}\t{one[::-1]}" for one in lines(1, 400)])
    write(folder / "dates.txt", [f"{one:<60}_{one[::-1]}" for one in lines(1, 400)])
    write(folder / "lines.txt", lines(2, 2000))
    for name, count in (("train", 600), ("val", 40), ("test_2016_flickr", 40)):
        for language in ("de", "en"):
            write(folder / "tok" / f"{name}.lc.norm.tok.{language}", lines(3, count))
            write(folder / "raw" / f"{name}.{language}", lines(3, count))
    for name in ("train", "valid", "test"):
        many = " ".join(f"word{number}" for number in range(3000))
        write(folder / "wikitext2" / f"wiki.{name}.tokens", [many, *lines(4, 800)])
    return {
        "pairs": folder / "pairs.tsv",
        "dates": folder / "dates.txt",
        "lines": folder / "lines.txt",
        "multi30k": folder,
        "wikitext2": folder / "wikitext2",
    }


def run(name: str, arguments: tuple[str, ...], data: dict[str, Path], tmp_path: Path) -> None:
    given = [argument.format_map(data) for argument in arguments]
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), *given],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert "cpu" in figures


@pytest.mark.parametrize("name", QUICK)
def test_it_runs(name, data, tmp_path):
    run(name, QUICK[name], data, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("name", SLOW)
def test_it_runs_too(name, data, tmp_path):
    run(name, SLOW[name], data, tmp_path)
