"""Files that are whole or absent, and what is saved through them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from recurra.contracts import State
from recurra.data.vocabulary import Words
from recurra.durable import append, read_plain, truncate, write_atomic, write_flushed, write_output
from recurra.errors import StateError


@pytest.fixture
def full_disk(monkeypatch):
    """A disk that takes the bytes and refuses to keep them."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)


def state(seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)

    def draw() -> torch.Tensor:
        return torch.randn(3, 5, generator=generator, dtype=torch.float64)

    strided = {"h": draw()[:, ::2], "c": draw().T.contiguous().T}
    return State((({"h": draw(), "c": draw()}, strided), ({"h": draw(), "c": draw()}, strided)))


def test_a_file_is_replaced_whole_and_flushed_before_it_has_its_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "file", []
    path.write_bytes(b"old")
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append((path.read_bytes(), sorted(entry.name for entry in tmp_path.iterdir())))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(path, b"new")
    # First the file beside, then, once renamed, the folder.
    assert seen == [(b"old", [".file.part", "file"]), (b"new", ["file"])]


@pytest.mark.parametrize(
    "save",
    [
        lambda path: write_atomic(path, b"new"),
        lambda path: state(1).save(path),
        lambda path: Words(["b"]).save(path.parent),
    ],
    ids=["bytes", "state", "vocabulary"],
)
def test_a_full_disk_leaves_what_was_there(tmp_path, full_disk, save):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left on device"):
        save(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["vocabulary.json"]


def test_a_saved_state_is_the_same_state(tmp_path):
    """Over an older one, tensors that share memory or are not contiguous included."""
    shared = torch.randn(3, 4)
    one = State((({"h": shared, "c": shared},),))
    one.save(tmp_path / "state")
    assert all(torch.equal(tensor, shared) for tensor in State.load(tmp_path / "state").as_dict().values())
    two = state(2)
    two.save(str(tmp_path / "state"))
    loaded = State.load(tmp_path / "state").as_dict()
    assert loaded.keys() == two.as_dict().keys()
    for name, tensor in two.tensors():
        torch.testing.assert_close(loaded[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff" * 40])
def test_what_is_no_saved_state_is_refused(tmp_path: Path, content: bytes | None):
    path = tmp_path / "state"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StateError, match=r"state: not a saved state \("):
        State.load(path)


# -------------------------------------------------------------------- links, pipes, devices


@pytest.fixture
def outside(tmp_path) -> Path:
    path = tmp_path / "outside"
    path.write_bytes(b"precious")
    return path


@pytest.mark.parametrize("target", ["outside", "nothing"])
def test_writing_never_follows_a_link(tmp_path, outside, target):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / target)
    for write in (write_flushed, append):
        with pytest.raises(OSError, match=r"File exists|symbolic links"):
            write(link, b"new")
    with pytest.raises(OSError, match="symbolic links"):
        truncate(link, 1)
    with pytest.raises(OSError, match="symbolic links"):
        read_plain(link)
    write_atomic(link, b"new")
    assert link.read_bytes() == b"new"
    assert not link.is_symlink()
    assert outside.read_bytes() == b"precious"
    assert not (tmp_path / "nothing").exists()


def test_a_link_left_under_the_temporary_name_is_replaced(tmp_path, outside):
    (tmp_path / ".file.part").symlink_to(outside)
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert outside.read_bytes() == b"precious"


def test_an_output_that_the_user_named_by_a_link_is_what_the_link_points_to(tmp_path, outside):
    (tmp_path / "link").symlink_to(outside)
    write_output(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert outside.read_bytes() == b"new"


def test_another_name_of_a_file_keeps_what_it_had(tmp_path, outside):
    (tmp_path / "lines").hardlink_to(outside)
    append(tmp_path / "lines", b" and more")
    assert (tmp_path / "lines").read_bytes() == b"precious and more"
    (tmp_path / "cut").hardlink_to(outside)
    truncate(tmp_path / "cut", 3)
    assert (tmp_path / "cut").read_bytes() == b"pre"
    assert outside.read_bytes() == b"precious"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_neither_replaced_nor_waited_for(tmp_path, make):
    path = tmp_path / "it"
    make(path)
    for write in (write_atomic, write_output, append):
        with pytest.raises(OSError, match=r"not a plain file|Is a directory|No such device"):
            write(path, b"new")
    with pytest.raises(OSError, match=r"not a plain file|Is a directory"):
        read_plain(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["it"]
    assert not path.is_file()


def test_appending_makes_the_file(tmp_path):
    append(tmp_path / "lines", b"a\n")
    append(tmp_path / "lines", b"b\n")
    assert (tmp_path / "lines").read_bytes() == b"a\nb\n"
