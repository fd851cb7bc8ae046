"""Configuration files: which file `--config` names, a recipe that comes with recurra included, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError, nearest, quoted, shortened
from recurra.plain_yaml import MOST_CHARACTERS, compose, value_of
from recurra.settings import sections_of

MOST_BYTES = 4 * MOST_CHARACTERS


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
    if name not in recipe_names() or path.is_file():
        return path
    return Path(str(_recipes() / f"{name}.yaml"))


def read_yaml(path: Path, known: Sequence[str]) -> Iterator[tuple[int, str, Any]]:
    """Each entry of a YAML file as line (from 1), dotted key, plain value; sections of `known` are gone into.

    Raises:
        ConfigError: the file is missing, not YAML, or not a mapping.
    """
    sections = sections_of(known)
    root = compose(_read(path), str(path))
    if root is not None:
        yield from _entries(root, path, "", sections)


def _read(path: Path) -> str:
    """The text of a configuration file; a byte order mark is dropped.

    Raises:
        ConfigError: it is missing, no plain file, too long, or not UTF-8.
    """
    name = f"--config {shortened(str(path))}"
    try:
        is_other = path.exists() and not path.is_file()
        content = b"" if is_other else _beginning(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = nearest(str(path), recipe_names())
        raise ConfigError(f"{name}: cannot be read ({reason}).{hint}") from error
    if is_other:
        raise ConfigError(f"{name}: expected a file, got a folder, pipe or device.")
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{name}: expected at most {MOST_BYTES:,} bytes of YAML; is it another file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "UTF-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "not UTF-8"
        raise ConfigError(f"{name}: cannot be read ({kind}); save it as UTF-8.") from error


def _beginning(path: Path) -> bytes:
    """All that is read of a file, which may have any size."""
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _entries(node: Any, path: Path, prefix: str, sections: set[str]) -> Iterator[tuple[int, str, Any]]:
    import yaml

    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}, line {node.start_mark.line + 1}: expected `key: value` lines.")
    seen = set()
    for name, value in node.value:
        if not isinstance(name, yaml.ScalarNode):
            raise ConfigError(f"{path}, line {name.start_mark.line + 1}: expected a text as a key.")
        key = f"{prefix}{name.value}"
        if key in seen:
            raise ConfigError(
                f"{path}, line {name.start_mark.line + 1}: key {quoted(key)} is given twice; keep one."
            )
        seen.add(key)
        if key in sections:
            yield from _entries(value, path, f"{key}.", sections)
        else:
            yield name.start_mark.line + 1, key, value_of(value, str(path))
