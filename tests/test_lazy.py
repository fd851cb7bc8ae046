"""Packages whose names are resolved when they are first used."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from recurra.lazy import homes, resolver


@pytest.fixture
def package(monkeypatch) -> ModuleType:
    """An importable package of two names; each is defined in a module of the standard library."""
    made = ModuleType("a_lazy_package")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    made.__getattr__ = resolver(made.__name__, homes({"textwrap": ("dedent",), "fractions": ("Fraction",)}))
    return made


def test_names_are_those_of_their_modules():
    assert homes({"a": ("x", "y"), "b": ("z",)}) == {"x": "a", "y": "a", "z": "b"}


def test_a_name_is_imported_when_it_is_used_and_then_kept(package, monkeypatch):
    monkeypatch.delitem(sys.modules, "fractions", raising=False)
    text = package.dedent("  x")
    assert text == "x"
    assert "fractions" not in sys.modules
    assert package.Fraction(1, 2) == package.Fraction(2, 4)
    assert set(vars(package)) >= {"dedent", "Fraction"}
    assert package.Fraction is sys.modules["fractions"].Fraction


def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="module 'a_lazy_package' has no attribute 'indent'"):
        _ = package.indent
