"""Compiling and the cache, and what happens without a compiler."""

from __future__ import annotations

import stat
import subprocess
import sys

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
    assert build.library(SOURCE).recurra_test() == 7
    assert [path.suffix for path in own_cache.iterdir()] == [".so"]
    assert stat.S_IMODE(own_cache.stat().st_mode) == 0o700
    monkeypatch.setattr(build.subprocess, "run", lambda *_, **__: pytest.fail("compiled again"))
    assert build.library(SOURCE).recurra_test() == 7


@with_compiler
def test_a_damaged_entry_is_built_again(own_cache):
    # By another process: this one would find a library of that name loaded already.
    code = f"from recurra.engine.cpu import build; build.library({SOURCE!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    (entry,) = own_cache.iterdir()
    entry.write_bytes(b"\x7fELF damaged")
    assert build.library(SOURCE).recurra_test() == 7
    assert entry.stat().st_size > 1000


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


def test_a_compiler_that_cannot_compile_is_tried_once(tmp_path, own_cache, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo broken 1 && exit\necho "cannot find crt1.o" >&2\nexit 1\n'
    )
    broken.chmod(0o755)
    monkeypatch.setattr(build, "_obstacles", [])
    monkeypatch.setattr(build, "compiler", lambda: str(broken))
    with pytest.raises(BackendError, match=r"nothing can be compiled here .*cannot find crt1.o"):
        Recurrent(GRU, 2, 3, backend="cpu")
    monkeypatch.setattr(build, "library", lambda source: pytest.fail("tried again"))
    assert Recurrent(GRU, 2, 3).choose_backend() == "reference"


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
