"""The package as a whole: cheap to import, and its public names are what they say."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_origin

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


# --- what the signatures name ------------------------------------------------------------------------


def _classes() -> dict[str, list[type]]:
    """Every class of recurra by its name."""
    found: dict[str, list[type]] = {}
    for info in pkgutil.walk_packages(recurra.__path__, "recurra."):
        if not info.name.endswith("__main__"):
            for name, value in vars(importlib.import_module(info.name)).items():
                if isinstance(value, type) and value.__module__ == info.name:
                    found.setdefault(name, []).append(value)
    return found


def _functions(public: object) -> Iterator[tuple[str, Any]]:
    """What of a public name has annotations: itself, or its fields, properties and methods, those of `Run()` too."""
    if not isinstance(public, type):
        yield "", public
        return
    yield "", public
    for name, value in vars(public).items():
        if not name.startswith("_") or name in ("__init__", "__call__", "__getitem__"):
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(inner):
                yield f".{name}", inner


def _named_by(annotated: Any, classes: dict[str, list[type]]) -> Iterator[type]:
    """The classes of recurra in the annotations of a function or the fields of a class, aliases of them included."""
    space = vars(sys.modules[annotated.__module__])
    for key, annotation in inspect.get_annotations(annotated).items():
        if key.startswith("_") and isinstance(annotated, type):
            continue
        for name in re.findall(r"[A-Za-z_]\w*", str(annotation)):
            value = space.get(name)
            value = get_origin(value) or value
            if isinstance(value, type):
                if value.__module__.startswith("recurra."):
                    yield value
            elif value is None and len(classes.get(name, ())) == 1:  # imported for type checkers only
                yield classes[name][0]


def test_every_class_that_a_public_signature_names_is_public():
    classes = _classes()
    public = {name: getattr(recurra, name) for name in recurra._HOMES}
    missing = {
        f"{named.__module__}.{named.__name__}, of recurra.{name}{part}"
        for name, value in public.items()
        for part, annotated in _functions(value)
        for named in _named_by(annotated, classes)
        if named not in public.values()
    }
    assert not missing
    prediction = set(_named_by(recurra.Run.iter_predict, classes))
    assert prediction == {recurra.Prediction}
