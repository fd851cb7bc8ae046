"""The configuration of a benchmark: a recipe that comes with recurra, and what this run changes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, TypeVar

import yaml

from recurra.settings import build

Config = TypeVar("Config")


def from_recipe(kind: type[Config], name: str, **changes: Mapping[str, Any]) -> Config:
    """The settings of `--config NAME`, with others in their place.

    Args:
        kind: the class of the task's configuration.
        name: of the recipe.
        changes: by section: keys and values.
    """
    values = yaml.safe_load((files("recurra") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8"))
    sections = {section: dict(values.get(section, {})) for section in kind.__dataclass_fields__}
    for section, keys in changes.items():
        sections[section] |= keys
    return build(kind, sections)
