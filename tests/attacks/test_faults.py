"""A few trials of `benchmarks/faults.py`, in none of which anything is lost; and the library that refuses calls."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COMPILER = shlex.split(os.environ.get("CC", "cc"))
needs_compiler = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which(COMPILER[0]), reason="needs Linux and a C compiler"
)

REFUSED = """
import ctypes, errno, os, pathlib, sys
folder, outside = sys.argv[1:]
library = ctypes.CDLL(None)
library.refuse_call(ctypes.c_long({call}), ctypes.c_int({error}), os.fsencode(folder))
failed = []
for path in (outside + "/x", folder + "/one", folder + "/two"):
    for name, work in (
        ("write", lambda: pathlib.Path(path).write_text("text")),
        ("rename", lambda: os.rename(path, path + ".new")),
        ("remove", lambda: os.unlink(path + ".new")),
    ):
        try:
            work()
        except OSError as error:
            failed.append((name, os.path.basename(path), errno.errorcode[error.errno]))
print(failed)
"""


@needs_compiler
@pytest.mark.timeout(400)
def test_nothing_is_lost_in_a_few_trials(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "faults.py"), "--kills", "8", "--calls", "10"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["failed"] == []
    assert (figures["kills"], figures["refused_calls"]) == (8, 10)
    assert (figures["lost"], figures["unequal"], figures["badly_told"]) == (0, 0, 0)
    assert min(figures["calls_of_each"].values()) > 20  # the files of a run are seen


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("library") / "refusing_files.so"
    source = BENCHMARKS / "refusing_files.c"
    subprocess.run(
        [*COMPILER, "-Werror", "-shared", "-fPIC", str(source), "-o", str(path), "-ldl"], check=True
    )
    return path


def refuse(library: Path, tmp_path: Path, call: int, error: str) -> subprocess.CompletedProcess[str]:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
    program = REFUSED.format(call=call, error=error)
    return subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "inside"), str(tmp_path / "outside")],
        env=environment() | {"LD_PRELOAD": str(library)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@needs_compiler
@pytest.mark.parametrize(
    ("call", "error", "failed"),
    [
        (-1, "errno.EIO", []),
        (1, "errno.ENOSPC", [("write", "one", "ENOSPC"), ("rename", "one", "ENOENT"), ("remove", "one", "ENOENT")]),
        (3, "errno.EIO", [("rename", "one", "EIO"), ("remove", "one", "ENOENT")]),
        (4, "errno.EIO", [("remove", "one", "EIO")]),
        (6, "errno.ENOSPC", [("write", "two", "ENOSPC")]),
    ],
)  # fmt: skip
def test_one_call_below_the_folder_is_refused(library, tmp_path, call, error, failed):
    done = refuse(library, tmp_path, call, error)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{failed}\n"


@needs_compiler
def test_or_the_process_is_killed_before_it(library, tmp_path):
    done = refuse(library, tmp_path, 3, "0")
    assert done.returncode == -9
    assert [path.name for path in (tmp_path / "inside").iterdir()] == ["one"]
