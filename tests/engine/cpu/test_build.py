"""Compiling and the cache, and what happens without a compiler."""

from __future__ import annotations

import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recurra import BackendError, Recurrent
from recurra.cells import GRU
from recurra.engine import explain
from recurra.engine.cpu import build

SOURCE = 'extern "C" int recurra_test() { return 7; }\n'

with_compiler = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "recurra" / "kernels"


@with_compiler
def test_a_source_is_compiled_once_and_kept_for_the_user_alone(own_cache, monkeypatch):
    assert build.library(SOURCE, "recurra_test").recurra_test() == 7
    assert sorted(path.suffix for path in own_cache.iterdir()) == [".sha256", ".so"]
    assert stat.S_IMODE(own_cache.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) & 0o022 for path in own_cache.iterdir()} == {0}
    monkeypatch.setattr(build, "_build", lambda *_: pytest.fail("compiled again"))
    assert build.library(SOURCE, "recurra_test").recurra_test() == 7


@with_compiler
def test_processes_that_compile_the_same_source_do_not_disturb_each_other(own_cache):
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda _: build.library(SOURCE, "recurra_test"), range(3)))
    assert [one.recurra_test() for one in made] == [7, 7, 7]
    assert sorted(path.suffix for path in own_cache.iterdir()) == [".sha256", ".so"]


@with_compiler
def test_what_the_compiler_refuses_is_said(own_cache):
    source = "// update = sigmoid(x)\nconst int n1 = missing;\n"
    with pytest.raises(
        BackendError, match=r"line 2, 'const int n1 = missing;', .* update = sigmoid\(x\): .*missing"
    ):
        build.library(source)
    assert not list(own_cache.iterdir())


def test_without_a_compiler_everything_else_still_runs(monkeypatch):
    monkeypatch.setattr(build, "_obstacles", [])
    monkeypatch.setattr(build, "compiler", lambda: None)
    with pytest.raises(BackendError, match=r"no C\+\+ compiler; install g\+\+ or clang"):
        Recurrent(GRU, 2, 3, backend="cpu")
    assert Recurrent(GRU, 2, 3).choose_backend() == "reference"
    (cpu,) = (verdict for verdict in explain(GRU, 2, 3) if verdict.backend == "cpu")
    assert not cpu.runs
    assert "compiler" in cpu.reason


def test_a_compiler_that_cannot_compile_is_tried_once(own_cache, script, monkeypatch):
    script('echo "cannot find crt1.o" >&2; exit 1')
    monkeypatch.setattr(build, "_obstacles", [])
    with pytest.raises(BackendError, match=r"nothing can be compiled here .*cannot find crt1.o"):
        Recurrent(GRU, 2, 3, backend="cpu")
    monkeypatch.setattr(build, "library", lambda source: pytest.fail("tried again"))
    assert Recurrent(GRU, 2, 3).choose_backend() == "reference"


@pytest.fixture
def named(monkeypatch):
    """A function that sets $CXX."""

    monkeypatch.setattr(build, "compiler", build.compiler.__wrapped__)

    def name(command: str) -> None:
        monkeypatch.setenv("CXX", command)

    return name


@pytest.fixture
def script(tmp_path, named):
    """A function that makes a compiler of a shell's commands, and has $CXX name it."""

    def make(commands: str, version: str = "echo 1.0; exit") -> None:
        path = tmp_path / "script"
        path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ {version}; }}\n{commands}\n')
        path.chmod(0o755)
        named(str(path))

    return make


def refused() -> str:
    with pytest.raises(BackendError) as caught:
        build.library(SOURCE, "recurra_test")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400
    return message


LAST = "for last; do :; done; "  # the last argument: where the library is to be written


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ("exit 3", "fails with status 3: 'no message'"),
        ("printf 'a\\377\\033[31m\\n' >&2; exit 1", r"fails with status 1: 'a�\x1b[31m'"),
        ("head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1", "xxx..."),
        ("echo note; echo 'fatal error: no space left' >&2; exit 1", "'fatal error: no space left'"),
        ("kill -9 $$", "was killed by signal 9"),
        ("exit 0", "has made nothing"),
        (f"{LAST} echo garbage > $last", "no library that can be loaded"),
        (f"{LAST} mkdir $last", "no library that can be loaded"),
        (f"{LAST} echo 'int x;' | g++ -shared -xc++ - -o $last", "it has no function recurra_test"),
    ],
)
def test_a_compiler_that_fails_is_told_in_a_line(commands, reason, own_cache, script):
    if "g++" in commands and shutil.which("g++") is None:
        pytest.skip("there is no g++ here")
    script(commands)
    assert reason in refused()
    assert not list(own_cache.iterdir())


@pytest.mark.parametrize(
    ("version", "reason"),
    [("exit 4", "--version fails with status 4"), ("printf '\\377'; exit", "has made nothing")],
)
def test_a_compiler_whose_version_cannot_be_read_is_told_in_a_line(version, reason, own_cache, script):
    script("exit 0", version)
    assert reason in refused()


def test_a_compiler_that_hangs_is_stopped_with_what_it_has_started(own_cache, script, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "COMPILE_SECONDS", 0.5)
    script(f"sleep 60 & echo $! > {tmp_path}/pid; wait")
    assert "has not ended after 0.5 seconds" in refused()
    state = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    assert not state.exists() or " Z " in state.read_text()


def test_a_daemon_that_the_compiler_leaves_behind_is_not_waited_for(own_cache, script):
    script("sleep 3 & exit 5")
    began = time.monotonic()
    assert "status 5" in refused()
    assert time.monotonic() - began < 2


def test_what_is_no_program_is_told_in_a_line(own_cache, tmp_path, named):
    (tmp_path / "text").write_text("no program\n")
    (tmp_path / "text").chmod(0o755)
    named(str(tmp_path / "text"))
    assert "cannot be started" in refused()


@with_compiler
def test_a_compiler_behind_a_wrapper_with_arguments(own_cache, tmp_path, named):
    wrapper = tmp_path / "some wrapper"
    wrapper.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    wrapper.chmod(0o755)
    named(f"'{wrapper}' --quiet {build.compiler()[0]}")
    assert build.library(SOURCE, "recurra_test").recurra_test() == 7


@pytest.mark.parametrize("command", ["no-such-compiler -O3", "'g++"])
def test_a_named_compiler_that_is_missing_is_not_replaced(command, named, monkeypatch):
    named(command)
    monkeypatch.setattr(build, "_obstacles", [])
    assert build.compiler() is None
    assert "$CXX names the compiler" in str(build.obstacle())
    assert command in str(build.obstacle())
    named("  ")
    assert build.compiler() in [(shutil.which("g++"),), (shutil.which("clang++"),), None]


def test_windows_is_told(monkeypatch):
    monkeypatch.setattr(build, "_obstacles", [])
    monkeypatch.setattr(build.sys, "platform", "win32")
    with pytest.raises(BackendError, match="not on Windows; use WSL"):
        Recurrent(GRU, 2, 3, backend="cpu")


@pytest.mark.parametrize(
    ("flags", "width", "registers"), [("fma avx avx2", 32, 16), ("avx2 avx512f", 64, 32), ("sse2", 16, 16)]
)
def test_vectors_are_as_wide_as_the_machines(flags, width, registers, monkeypatch):
    monkeypatch.setattr(build, "features", lambda: flags)
    monkeypatch.setattr(build.platform, "machine", lambda: "x86_64")
    shape = build.machine(double=False)
    assert (shape.real, shape.vector_bytes, shape.registers) == ("float", width, registers)
