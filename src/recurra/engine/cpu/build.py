"""Compiling generated sources, once per source and machine, and loading them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from recurra.engine.cpu.emit import Machine
from recurra.errors import BackendError

FLAGS = ("-std=gnu++17", "-O3", "-march=native", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math")


@cache
def compiler() -> str | None:
    """The path of the system's C++ compiler: $CXX, g++ or clang++; None where there is none."""
    for name in (os.environ.get("CXX", ""), "g++", "clang++"):
        path = shutil.which(name) if name else None
        if path:
            return path
    return None


# One entry once it has been looked for; unlike a cached function, torch.compile reads it as it stands.
_obstacles: list[str | None] = []


def obstacle() -> str | None:
    """Why nothing can be compiled here, or None. It is tried once in a process, by compiling a function."""
    if not _obstacles:
        _obstacles.append(_look_for_obstacle())
    return _obstacles[0]


def _look_for_obstacle() -> str | None:
    if sys.platform == "win32":
        return "its kernels are built on Linux and macOS, not on Windows; use WSL"
    if compiler() is None:
        return "there is no C++ compiler; install g++ or clang++, or set $CXX"
    try:
        library('#include <cmath>\nextern "C" double recurra_probe(double x) { return std::exp(x); }\n')
    except (BackendError, OSError) as error:
        return f"nothing can be compiled here ({error}); fix it, or set $CXX to another compiler"
    return None


@cache
def features() -> str:
    """The processor's instruction sets, as the system names them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features"))]
    return lines[0].partition(":")[2].strip() if lines else platform.machine()


def machine(double: bool) -> Machine:
    """The shape of this machine's vector registers."""
    have = set(features().split())
    real = "double" if double else "float"
    if "avx512f" in have:
        return Machine(real, 64, 32)
    if "avx2" in have:
        return Machine(real, 32, 16)
    return Machine(real, 16, 32 if platform.machine() in ("aarch64", "arm64") else 16)


@cache
def _version(path: str) -> str:
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout


def cache_folder() -> Path:
    """Where compiled kernels are kept, readable by the user alone."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "recurra" / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def library(source: str) -> ctypes.CDLL:
    """The compiled source, from the cache or from the compiler.

    Raises:
        BackendError: the compiler refuses the source.
    """
    path = compiler()
    assert path is not None, "can_run says so before"
    key = hashlib.sha256("\0".join([source, *FLAGS, _version(path), features()]).encode()).hexdigest()
    folder = cache_folder()
    binary = folder / f"{key[:32]}.so"
    if binary.exists():
        try:
            return ctypes.CDLL(str(binary))
        except OSError:  # damaged: built again
            binary.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as folder_name:
        code, made = Path(folder_name) / "kernel.cpp", Path(folder_name) / "kernel.so"
        code.write_text(source, encoding="utf-8")
        done = subprocess.run(
            [path, *FLAGS, str(code), "-o", str(made)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BackendError(f"backend 'cpu': {path} refuses {_refused(done.stderr, source)}")
        made.replace(binary)
    return ctypes.CDLL(str(binary))


def _refused(errors: str, source: str) -> str:
    """The compiler's first error, with the generated line and the equation that it comes from."""
    for error in errors.splitlines():
        refusal = re.search(r"kernel\.cpp:(\d+):.*?error: (.*)", error)
        if not refusal:
            continue
        lines = source.splitlines()[: int(refusal[1])]
        equations = [line.strip(" /") for line in lines if re.match(r"\s*// .* = ", line)]
        origin = f", of the equation {equations[-1]}" if equations else ""
        return f"the generated line {refusal[1]}, {lines[-1].strip()!r}{origin}: {refusal[2]}"
    return f"the generated source: {(errors.splitlines() or ['no message'])[0]}"
