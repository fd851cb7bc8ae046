"""Compiling generated sources, once per source and machine, and loading them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from recurra.engine.cpu import cache
from recurra.engine.cpu.cache import CacheError
from recurra.engine.cpu.emit import Machine
from recurra.errors import BackendError, quoted

PROBE = '#include <cmath>\nextern "C" double recurra_probe(double x) { return std::exp(x); }\n'
COMPILE_SECONDS = 300.0
VERSION_SECONDS = 30.0
FLAGS = ("-std=gnu++17", "-O3", "-march=native", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math")


@functools.cache
def compiler() -> tuple[str, ...] | None:
    """The command that compiles C++, in words: $CXX, which may have several, or else g++ or clang++.

    None where there is none. A compiler that $CXX names and that is missing is not replaced by another.
    """
    named = os.environ.get("CXX", "")
    if not named.strip():
        path = shutil.which("g++") or shutil.which("clang++")
        return (path,) if path else None
    try:
        name, *arguments = shlex.split(named)
    except ValueError:  # a quotation mark without its partner
        return None
    path = shutil.which(name)
    return (path, *arguments) if path else None


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
        named = os.environ.get("CXX", "")
        if named.strip():
            return f"$CXX names the compiler {_short(named)}, which is not found; correct it, or unset it"
        return "there is no C++ compiler; install g++ or clang++, or set $CXX"
    try:
        library(PROBE, "recurra_probe")
    except CacheError as error:
        return reason(error)
    except BackendError as error:
        remedy = "fix it, or set $CXX to another compiler, or $XDG_CACHE_HOME to another folder"
        return f"nothing can be compiled here ({reason(error)}); {remedy}"
    return None


def reason(error: BackendError) -> str:
    """What an error of this backend says, without its name and the full stop."""
    return str(error).removeprefix("backend 'cpu': ").removesuffix(".")


@functools.cache
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


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    status, output = _run([*command, "--version"], VERSION_SECONDS, subprocess.DEVNULL)
    if status:
        raise BackendError(f"backend 'cpu': {_named(command)} --version fails with status {status}")
    return output


def library(source: str, *functions: str) -> ctypes.CDLL:
    """The compiled source, from the cache or from the compiler.

    Args:
        source: C++.
        functions: what will be called of it.

    Raises:
        BackendError: the compiler refuses the source or fails, or the cache cannot be used.
    """
    command = compiler()
    assert command is not None, "can_run says so before"
    folder = cache.folder()
    parts = [source, *FLAGS, *command, _version(command), features()]
    key = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()[:40]
    return cache.load(folder, key, functions) or _build(folder, key, command, source, functions)


def _build(
    folder: Path, key: str, command: tuple[str, ...], source: str, functions: tuple[str, ...]
) -> ctypes.CDLL:
    """Compile, load, and only then keep what has been made."""
    with cache.build_folder(folder) as place:
        code, made = place / "kernel.cpp", place / "kernel.so"
        code.write_text(source, encoding="utf-8")
        status, errors = _run(
            [*command, *FLAGS, str(code), "-o", str(made)], COMPILE_SECONDS, subprocess.STDOUT
        )
        if status:
            raise BackendError(f"backend 'cpu': {_named(command)} {_refused(status, errors, source)}")
        try:
            compiled = cache.opened(made, functions)
        except OSError as error:
            reason = (
                "nothing" if not made.exists() else f"no library that can be loaded ({_short(str(error))})"
            )
            raise BackendError(f"backend 'cpu': {_named(command)} has made {reason}") from error
        cache.store(folder, key, made)
    return compiled


def _run(command: Sequence[str], seconds: float, stderr: int) -> tuple[int, str]:
    """The exit status of a command, and the first 64 KiB of what it writes; `stderr` as `subprocess` takes it.

    It runs in a process group of its own: a Ctrl-C that lets training save its state does not end it, and past the
    time limit the group is killed, compilers behind a wrapper included.

    Raises:
        BackendError: the command cannot be started, or takes longer.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "LC_ALL": "C"},
            process_group=0,
        )
    except OSError as error:
        raise BackendError(
            f"backend 'cpu': {_named(command)} cannot be started: {error.strerror or error}"
        ) from error
    assert process.stdout is not None
    end = time.monotonic() + seconds
    try:
        with process.stdout as stream:
            output = _output(process, stream, end)
        return process.wait(max(0.1, end - time.monotonic())), output.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        raise BackendError(
            f"backend 'cpu': {_named(command)} has not ended after {seconds:g} seconds"
        ) from error
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _output(process: subprocess.Popen[bytes], stream: IO[bytes], end: float) -> bytes:
    """What comes until the stream ends, or the process does: a daemon that it has started may hold the stream open."""
    output, ended = b"", False
    while time.monotonic() < end:
        ready, _, _ = select.select([stream], [], [], 0.0 if ended else 0.1)
        if ready:
            piece = os.read(stream.fileno(), 2**16)
            if not piece:
                break
            output += piece[: 2**16 - len(output)]
        elif ended:
            break
        else:
            ended = process.poll() is not None
    return output


def _refused(status: int, errors: str, source: str) -> str:
    """The compiler's first error, with the generated line and the equation that it comes from."""
    if status < 0:
        return f"was killed by signal {-status}"
    for error in errors.splitlines():
        refusal = re.search(r"kernel\.cpp:(\d+):.*?error: (.*)", error)
        if not refusal:
            continue
        lines = source.splitlines()[: int(refusal[1])]
        equations = [line.strip(" /") for line in lines if re.match(r"\s*// .* = ", line)]
        origin = f", of the equation {equations[-1][:80]}" if equations else ""
        line = _short(lines[-1].strip() if lines else "")
        return f"refuses the generated line {refusal[1]}, {line}{origin}: {_short(refusal[2])}"
    lines = [line for line in errors.splitlines() if line.strip()]
    first = next((line for line in lines if "error" in line), lines[0] if lines else "no message")
    return f"fails with status {status}: {_short(first)}"


def _named(command: Sequence[str]) -> str:
    """How the compiler is called in messages: without the arguments."""
    return _short(command[0]).strip("'\"")


def _short(text: str) -> str:
    """A text of unknown origin, for a message that holds several of them."""
    return quoted(text if len(text) <= 100 else f"{text[:97]}...")
