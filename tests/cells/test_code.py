"""The text of the code that a cell's class comes from."""

from __future__ import annotations

import hashlib
import linecache
import sys
import types
from pathlib import Path

import recurra
from recurra.cells import Elman, resolve
from recurra.cells.code import LONGEST, Code, code_of

TEXT = b"""from recurra import Cell

class Damped(Cell):
    gates = ("candidate",)

    def step(self, affine, h):
        return 0.5 * h + 0.5 * affine("candidate", h).tanh()
"""


class Here(Elman):
    pass


def test_a_class_of_a_module_has_its_file():
    code = code_of(Here)
    assert (code.file, code.text) == (str(Path(__file__).resolve()), Path(__file__).read_bytes())
    assert code.sha256 == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def test_what_was_executed_is_kept_although_the_file_has_changed(tmp_path):
    file = tmp_path / "mine.py"
    file.write_bytes(TEXT)
    cell = resolve(f"{file}:Damped")
    file.write_bytes(TEXT.replace(b"0.5", b"0.9"))
    assert code_of(cell) == Code(str(file), TEXT)
    file.unlink()
    assert code_of(cell).file is None  # it cannot be found again


def test_too_long_a_text_is_not_kept(tmp_path):
    file = tmp_path / "long.py"
    file.write_bytes(TEXT + b"#" * LONGEST)
    cell = resolve(f"{file}:Damped")
    assert code_of(cell) == Code(str(file), None)
    del sys.modules[cell.__module__].__recurra_text__
    assert code_of(cell) == Code(str(file), None)


def test_a_class_typed_in_has_no_file(monkeypatch):
    """As in a notebook, which remembers what was typed in, and under `python -c`, which does not."""
    for name, remembered in (("<cell 3>", True), ("<string>", False)):
        module = types.ModuleType("typed_in")
        monkeypatch.setitem(sys.modules, "typed_in", module)
        module.__dict__["Cell"] = recurra.Cell
        exec(compile(TEXT.decode().split("\n", 1)[1], name, "exec"), module.__dict__)  # noqa: S102
        lines = TEXT.decode().splitlines(True)[1:]
        if remembered:
            monkeypatch.setitem(linecache.cache, name, (len(TEXT), None, lines, name))
        assert code_of(module.Damped) == Code(None, "".join(lines).encode() if remembered else None)
