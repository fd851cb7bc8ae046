"""Packages whose names are resolved when they are first used, so that importing them imports nothing heavy."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def resolver(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package (PEP 562).

    Args:
        package: its name.
        homes: public name -> the module that defines it.
    """

    def resolve(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return resolve


def homes(names: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Name -> module, from module -> names."""
    return {name: home for home, several in names.items() for name in several}


def listing(package: str, homes: Mapping[str, str]) -> Callable[[], list[str]]:
    """The `__dir__` of such a package: what it has already, and what it can resolve."""
    return lambda: sorted({*vars(sys.modules[package]), *homes})
