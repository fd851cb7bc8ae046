"""Configuration files: which file `--config` names, a recipe that comes with recurra included, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError, nearest


def recipe_names() -> list[str]:
    """The recipes that come with recurra: `--config NAME`."""
    folder = _recipes()
    if not folder.is_dir():  # a checkout that has none yet
        return []
    names = [entry.name for entry in folder.iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def _recipes() -> Traversable:
    return files("recurra") / "recipes"


def find_config(name: str) -> Path:
    """The file of that name, or else the recipe; a folder of that name, such as that of the data, hides no recipe."""
    path = Path(name)
    if path.is_file() or name not in recipe_names():
        return path
    return Path(str(_recipes() / f"{name}.yaml"))


def read_yaml(path: Path, known: Sequence[str]) -> Iterator[tuple[int, str, Any]]:
    """Each entry of a YAML file as line (from 1), dotted key, plain value; sections of `known` are gone into.

    Raises:
        ConfigError: the file is missing, not YAML, or not a mapping.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        hint = nearest(str(path), recipe_names())
        raise ConfigError(f"--config {path}: cannot be read ({reason}).{hint}") from error
    sections = {key[:dot] for key in known for dot in range(len(key)) if key[dot] == "."}
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is not None:
            yield from _entries(loader, root, path, "", sections)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML ({getattr(error, 'problem', None) or error}).") from error


def _entries(
    loader: Any, node: Any, path: Path, prefix: str, sections: set[str]
) -> Iterator[tuple[int, str, Any]]:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}, line {node.start_mark.line + 1}: expected `key: value` lines.")
    for name, value in node.value:
        key = f"{prefix}{loader.construct_object(name)}"
        if key in sections:
            yield from _entries(loader, value, path, f"{key}.", sections)
        else:
            yield name.start_mark.line + 1, key, loader.construct_object(value, deep=True)
