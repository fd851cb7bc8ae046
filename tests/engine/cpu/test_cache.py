"""The cache of compiled kernels: what is damaged is made again, what somebody else can write is refused."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from recurra import BackendError, Recurrent
from recurra.cells import GRU
from recurra.engine import additive, cpu, explain
from recurra.engine.cpu import build, cache
from recurra.engine.cpu.cache import CacheError

SOURCE = 'extern "C" int recurra_kept() { return 7; }\n'
NOBODY = 65534

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with one compiled library and its digest, to be copied."""
    base = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base))
        build.library(SOURCE, "recurra_kept")
    return base / "recurra" / "kernels"


@pytest.fixture
def kernels(made, tmp_path, monkeypatch):
    """The folder of a cache that holds the library."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cpu, "_refused", {})
    folder = tmp_path / "cache" / "recurra" / "kernels"
    shutil.copytree(made, folder)
    return folder


def files(kernels: Path) -> tuple[Path, Path]:
    """The library and its digest."""
    (library,), (digest,) = kernels.glob("*.so"), kernels.glob("*.sha256")
    return library, digest


def refused() -> str:
    """Why nothing is loaded."""
    with pytest.raises(CacheError) as caught:
        build.library(SOURCE, "recurra_kept")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


# --- what is damaged ----------------------------------------------------------------------------------

# In a process of its own, which loading any of these would kill or mislead.
DAMAGED = """
import json, shutil, sys
from pathlib import Path
from recurra.engine.cpu import cache

made, base = Path(sys.argv[1]), Path(sys.argv[2])
(key,) = [path.stem for path in made.glob("*.so")]
content, digest = (made / f"{key}.so").read_bytes(), (made / f"{key}.sha256").read_bytes()
middle = len(content) // 2
cases = {
    "as it was": (content, digest),
    "cut off": (content[:4096], digest),
    "cut off in its head": (content[:100], digest),
    "empty": (b"", digest),
    "zeroed": (bytes(len(content)), digest),
    "its end zeroed": (content[:middle] + bytes(len(content) - middle), digest),
    "one bit": (content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :], digest),
    "longer": (content + b"0", digest),
    "no digest": (content, None),
    "an empty digest": (content, b""),
    "a digest cut off": (content, digest[:-1]),
    "another digest": (content, cache._digest(b"")),
    "no library": (None, digest),
    "another function": (content, digest),
}
loaded = []
for case, (library, kept) in cases.items():
    folder = base / case
    folder.mkdir(mode=0o700)
    for name, data in ((f"{key}.so", library), (f"{key}.sha256", kept)):
        if data is not None:
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o600)
    functions = ("recurra_kept", "another") if case == "another function" else ("recurra_kept",)
    if cache.load(folder, key, functions) is not None:
        loaded.append(case)
print(json.dumps(loaded))
"""


def test_only_what_is_whole_and_unchanged_is_loaded(made, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED, made, tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == ["as it was"]


def test_what_is_damaged_is_compiled_again(kernels):
    library, digest = files(kernels)
    library.write_bytes(bytes(library.stat().st_size))
    assert build.library(SOURCE, "recurra_kept").recurra_kept() == 7
    assert cache._digest(library.read_bytes()) == digest.read_bytes()
    assert sorted(kernels.iterdir()) == sorted((library, digest))


def test_a_library_in_use_is_replaced_and_never_written_to(kernels):
    library, digest = files(kernels)
    before = library.stat().st_ino
    digest.unlink()
    build.library(SOURCE, "recurra_kept")
    assert library.stat().st_ino != before


def test_what_killed_processes_have_left_is_deleted_after_a_day(kernels):
    old, new, other = (kernels / name for name in (".build-old", ".build-new", "tmpother"))
    for folder in (old, new, other):
        folder.mkdir()
        (folder / "kernel.so").touch()
    for folder in (old, other):
        os.utime(folder, (0, 0))
    with cache.build_folder(kernels):
        assert [folder.exists() for folder in (old, new, other)] == [False, True, True]


# --- what somebody else can write ---------------------------------------------------------------------


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def writable(path: Path) -> None:
    path.chmod(0o777)


def writable_by_a_group(path: Path) -> None:
    os.chown(path, -1, 1)
    path.chmod(0o770)


def given_away(path: Path) -> None:
    os.chown(path, NOBODY, -1)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


ROOTS_ALONE = (given_away, writable_by_a_group)


@pytest.mark.parametrize(
    ("place", "change", "reason"),
    [
        ("folder", linked, "is a link"),
        ("folder", writable, "is writable by other users"),
        ("folder", writable_by_a_group, "is writable by other users"),
        ("folder", given_away, f"belongs to another user (number {NOBODY})"),
        ("recurra", linked, "is a link"),
        ("recurra", writable, "is writable by other users"),
        ("parent", writable, "is writable by other users"),
        ("parent", given_away, f"belongs to another user (number {NOBODY})"),
        ("library", linked, "is a link"),
        ("library", writable, "is writable by other users"),
        ("library", given_away, f"belongs to another user (number {NOBODY})"),
        ("library", pipe, "is no regular file"),
        ("library", folder, "Is a directory"),
        ("digest", linked, "is a link"),
        ("digest", given_away, f"belongs to another user (number {NOBODY})"),
    ],
)
def test_what_somebody_else_can_write_is_refused(place, change, reason, kernels):
    if change in ROOTS_ALONE and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    library, digest = files(kernels)
    places = {"folder": kernels, "recurra": kernels.parent, "parent": kernels.parents[1]}
    change({**places, "library": library, "digest": digest}[place])
    message = refused()
    assert reason in message
    assert message.startswith("backend 'cpu': the kernel cache cannot be used: '")
    assert "delete it" in message or "XDG_CACHE_HOME" in message


@as_root
def test_a_link_of_somebody_else_is_not_followed(kernels, tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(kernels.parents[1])
    os.chown(link, NOBODY, -1, follow_symlinks=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(link))
    assert "belongs to another user" in refused()


def test_what_is_planted_does_not_run(kernels, tmp_path):
    """The library of somebody who could write to the folder, with its right digest."""
    touched = tmp_path / "touched"
    code = tmp_path / "planted.cpp"
    code.write_text(
        f'#include <cstdio>\n__attribute__((constructor)) static void run() {{ fclose(fopen("{touched}", "w")); }}\n'
        + SOURCE
    )
    library, digest = files(kernels)
    planted = tmp_path / "planted.so"
    subprocess.run([*(build.compiler() or ()), "-shared", "-fPIC", code, "-o", planted], check=True)
    planted.chmod(0o600)
    content = planted.read_bytes()
    shutil.copy(planted, library)
    build.library(SOURCE, "recurra_kept")  # the digest is another: compiled again
    assert library.read_bytes() != content
    library.unlink()  # it is loaded now: what is written into it would run in this process
    shutil.copy(planted, library)
    digest.write_bytes(cache._digest(content))
    for open_to_others in (kernels, kernels.parent, kernels.parents[1], library):
        mode = open_to_others.stat().st_mode
        open_to_others.chmod(0o777)
        refused()
        open_to_others.chmod(mode)
    assert not touched.exists()
    ctypes.CDLL(str(planted))
    assert touched.exists()  # it would have run


def test_links_of_the_user_on_the_way_are_followed(kernels, tmp_path, monkeypatch):
    home = tmp_path / "disk" / "home"
    home.mkdir(parents=True)
    (tmp_path / "link").symlink_to("disk/../disk/home")
    (home / ".cache").symlink_to(tmp_path / "cache")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    assert cache.folder() == kernels.resolve()
    (home / ".cache").unlink()
    (home / ".cache").symlink_to(home / ".cache")
    with pytest.raises(CacheError, match="is a link"):
        cache.folder()


def test_a_folder_like_tmp_may_hold_it(kernels):
    kernels.parents[2].chmod(0o1777)
    assert build.library(SOURCE, "recurra_kept").recurra_kept() == 7


def test_a_group_of_the_users_own_may_write(kernels, monkeypatch):
    kernels.chmod(0o770)
    monkeypatch.setattr(cache, "_is_private", lambda group: group == kernels.stat().st_gid)
    assert build.library(SOURCE, "recurra_kept").recurra_kept() == 7


@pytest.mark.parametrize(
    ("mapping", "more"), [("0 0 4294967295\n", 0), ("1000 1000 1\n", 1), ("0 7 1\n1 9 5\n", 1)]
)
def test_a_container_that_does_not_know_root_shows_its_folders_under_another_number(
    mapping, more, monkeypatch
):
    texts = {"/proc/self/uid_map": mapping, "/proc/sys/kernel/overflowuid": "65534\n"}
    monkeypatch.setattr(cache.Path, "read_text", lambda path, encoding: texts[str(path)])
    assert cache._parents_owners.__wrapped__() == {os.geteuid(), 0, *([NOBODY] * more)}


# --- where it is --------------------------------------------------------------------------------------


def test_relative_folders_are_ignored_as_the_specification_wants(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.folder() == tmp_path.resolve() / ".cache" / "recurra" / "kernels"
    assert cache.folder().stat().st_mode & 0o777 == 0o700


def test_a_home_that_is_missing_is_not_made(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    assert "nonexistent" in refused()
    assert not list(tmp_path.iterdir())


def test_without_home_in_the_environment_the_list_of_users_has_it(monkeypatch):
    import pwd

    for home in (None, "", "relative"):
        monkeypatch.setenv("HOME", home) if home is not None else monkeypatch.delenv("HOME", raising=False)
        assert cache._home() == Path(pwd.getpwuid(os.getuid()).pw_dir)
    monkeypatch.setattr(cache.os, "getuid", lambda: 2**31 - 5)
    with pytest.raises(CacheError, match=r"no home folder.*XDG_CACHE_HOME"):
        cache._home()


def test_a_long_name_is_cut_in_the_message(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", f"/tmp/{'x' * 300}")
    assert "File name too long" in refused()


# --- what happens then --------------------------------------------------------------------------------


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can grow meanwhile; pytest's own output neither, so it ends before the test does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_auto_falls_back_where_the_folder_cannot_be_used(kernels, monkeypatch):
    kernels.chmod(0o777)
    monkeypatch.setattr(build, "_obstacles", [])
    assert Recurrent(GRU, 2, 3).choose_backend() == "reference"
    (verdict,) = [row for row in explain(GRU, 2, 3) if row.backend == "cpu"]
    assert verdict.reason.startswith("the kernel cache cannot be used: '")
    with pytest.raises(
        BackendError, match=r"backend 'cpu' cannot run this program: the kernel cache cannot be used"
    ):
        Recurrent(GRU, 2, 3, backend="cpu")


def test_auto_falls_back_where_the_disk_is_full(kernels, monkeypatch):
    from recurra.engine.cpu import additive as compiled, kernel

    monkeypatch.setattr(build, "_obstacles", [None])  # the disk has filled up since
    monkeypatch.setattr(kernel, "kernel_of", kernel.kernel_of.__wrapped__)
    monkeypatch.setattr(compiled, "_library", compiled._library.__wrapped__)
    monkeypatch.setattr(compiled, "obstacle", compiled.obstacle.__wrapped__)
    rnn, x = Recurrent(GRU, 2, 3), torch.randn(2, 4, 2)
    projected, keys, score = torch.randn(1, 2, 3), torch.randn(1, 4, 3), torch.randn(3)
    with full_disk():
        outputs, _ = rnn(x)
        energies = additive.additive_energies(projected, keys, torch.zeros(1, 4, dtype=torch.bool), score)
        rnn.backend = "cpu"
        with pytest.raises(BackendError) as caught:
            rnn(x)
    assert "the kernel cache cannot be used: '" in str(caught.value)
    assert "fails: File too large; fix it, or set" in str(caught.value)
    assert [path.suffix for path in sorted(kernels.iterdir())] == [".sha256", ".so"]
    rnn.backend = "auto"
    assert rnn.choose_backend() == "reference"
    rnn.backend = "reference"
    assert torch.equal(outputs, rnn(x)[0])
    torch.testing.assert_close(energies, (projected[:, :, None] + keys[:, None]).tanh() @ score)
