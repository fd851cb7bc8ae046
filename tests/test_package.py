"""The package as a whole: cheap to import, and its public names are what they say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import recurra

OPTIONAL = ("matplotlib", "rich", "jsonargparse", "yaml", "sentencepiece", "tensorboard", "sacrebleu")


def modules_after(code: str) -> set[str]:
    """The top-level modules that are loaded once `code` has run in a fresh interpreter."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_loads_nothing_that_is_not_used():
    loaded = modules_after("import recurra")
    assert not loaded & {"torch", "numpy", *OPTIONAL}


@pytest.mark.parametrize(
    "code",
    [
        "import recurra; recurra.Recurrent(recurra.cells.LSTM, 3, 5)",
        "import recurra; recurra.LMConfig, recurra.train, recurra.load, recurra.convert",
    ],
)
def test_public_names_load_nothing_optional(code: str):
    loaded = modules_after(code)
    assert "torch" in loaded
    assert not loaded & set(OPTIONAL)


@pytest.mark.parametrize("name", recurra.__all__)
def test_every_public_name_resolves_and_is_listed(name: str):
    assert getattr(recurra, name) is not None
    assert name in dir(recurra)


@pytest.mark.parametrize("name", sorted(recurra._HOMES))
def test_a_public_class_is_the_one_its_home_defines(name: str):
    assert getattr(recurra, name) is getattr(sys.modules[recurra._HOMES[name]], name)


def test_convert_and_cells_are_modules():
    assert recurra.convert.__name__ == "recurra.layers.convert"
    assert recurra.cells.__name__ == "recurra.cells"


def test_an_unknown_name_raises():
    with pytest.raises(AttributeError, match="no attribute 'Recurent'"):
        recurra.Recurent  # noqa: B018


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(recurra.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = {name: f"{homes.pop(name)}.{name}" for name in recurra._MODULES}
    assert homes == recurra._HOMES
    assert modules == recurra._MODULES
