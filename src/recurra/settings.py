"""Settings: frozen dataclasses whose fields say what they are.

A field's metadata holds its range, whether it names files, and whether resuming may change it; its type says the rest.
Configuration files, the command line, run directories and messages all read the same fields, so no key and no range is
written down twice. Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from recurra.durable import whole_path
from recurra.errors import ConfigError, nearest, quoted

Config = TypeVar("Config")
Names = Sequence[str] | Callable[[], Sequence[str]]

LARGEST = 2**63 - 1
"""The largest whole number that a setting takes: sizes and counts beyond it cannot be stored or allocated."""
MOST_LAYERS, MOST_THREADS = 1000, 1024
"""Of a model, and of the CPU: more are a slip, and would take hours, or all of the machine, before anything is said."""
MARKS = ("files", "fixed", "common")
AUTO = "auto"
"""The value of a setting that is chosen when training begins, by the size of the data and the limit of the run."""
PROBABILITY: dict[str, Any] = {"at_least": 0.0, "below": 1.0, "expected": "a probability in [0, 1)"}


def setting(
    default: Any = dataclasses.MISSING,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    names: Names | None = None,
    expected: str | None = None,
    files: bool = False,
    fixed: str | bool = False,
    common: bool = False,
    auto: Any = dataclasses.MISSING,
) -> Any:
    """A field of a settings dataclass.

        steps: int | None = setting(None, at_least=1)

    Args:
        default: a list or dict is copied for each instance.
        at_least, above, at_most, below: the range of a number, or of each of several.
        names: what a text may be, where its type does not say.
        expected: the range in words, in the place of those made of the bounds.
        files: it names a file, or a list of files.
        fixed: a resumed run must keep it; a text says why, after "since".
        common: it is among the few that the short help shows.
        auto: it may be `AUTO`, which is this where nothing is known of the data (see `filled`).
    """
    bounds = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    marks = {"files": files, "fixed": fixed, "common": common}
    metadata = {"bounds": bounds, "names": names, "expected": expected, **marks}
    if auto is not dataclasses.MISSING:
        metadata["auto"] = auto
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=partial(copy, default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def probability(default: float | Mapping[str, float] = 0.0) -> Any:
    """A field that is a probability in [0, 1), or one for each of several names."""
    return setting(default, **PROBABILITY)


# --- checking -----------------------------------------------------------------------------------------


def check(settings: Any, section: str = "") -> None:
    """Refuse a value that is not of its field's type or out of its range; called in `__post_init__`.

    Paths become text, and lists and tuples of each other what the type says.

    Args:
        settings: an instance of a frozen dataclass.
        section: the name of its group of keys, which messages put before the field's.

    Raises:
        ConfigError: naming the key, what was expected, and what came.
    """
    hints = _hints(type(settings))
    for field in dataclasses.fields(settings):
        key, value = f"{section}.{field.name}" if section else field.name, getattr(settings, field.name)
        checked = _checked(key, value, hints[field.name], field.metadata)
        if checked is not value:
            object.__setattr__(settings, field.name, checked)


def check_number(name: str, value: Any, kind: Any = int, **declared: Any) -> None:
    """Refuse an argument that is no number of its kind or out of its range.

    Args:
        name: of the argument.
        value: what it was given.
        kind: int, float, or one of them or None.
        declared: its range, as of `setting`.

    Raises:
        ConfigError: naming the argument, what was expected, and what came.
    """
    _checked(name, value, kind, setting(**declared).metadata)


def _checked(key: str, value: Any, hint: Any, metadata: Mapping[str, Any]) -> Any:
    """The value, or the same as its type has it."""
    kinds = _alternatives(hint)
    if (value is None and type(None) in kinds) or ("auto" in metadata and is_auto(value)):
        return value
    kinds = [kind for kind in kinds if kind is not type(None)]
    if metadata.get("files") and list[str] in kinds:
        return _paths(key, value)
    if get_origin(kinds[0]) is Literal:
        _check_name(key, value, get_args(kinds[0]))
    elif kinds[0] is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{key}: expected true or false, got {quoted(value)}.")
    elif kinds[0] is str:
        return _checked_text(key, value, metadata)
    elif kinds[0] == list[str]:
        return _checked_texts(key, value, metadata)
    elif {int, float} & {kinds[0], *get_args(kinds[0])}:
        return _checked_numbers(key, value, kinds, metadata)
    return value


def _checked_text(key: str, value: Any, metadata: Mapping[str, Any]) -> str:
    """A text, one of the names where there are some; the path of a file as text."""
    if metadata.get("names") is not None:
        _check_name(key, value, _names(metadata))
    if metadata.get("files") and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or (metadata.get("files") and not _is_path(value)):
        expected = metadata.get("expected") or ("a file" if metadata.get("files") else "text")
        raise ConfigError(f"{key}: expected {expected}, got {quoted(value)}.")
    return value


def _checked_texts(key: str, value: Any, metadata: Mapping[str, Any]) -> list[str]:
    """A list of texts, each one of the names where there are some."""
    if not isinstance(value, list | tuple):
        hint = f" Write [{quoted(value)}]." if isinstance(value, str) else ""
        raise ConfigError(f"{key}: expected a list, got {quoted(value)}.{hint}")
    for text in value:
        _checked_text(key, text, metadata)
    return list(value) if isinstance(value, tuple) else value


def _checked_numbers(key: str, value: Any, kinds: Sequence[Any], metadata: Mapping[str, Any]) -> Any:
    """A number, or a list, tuple or mapping of numbers, each in its range, in the form that a type has."""
    bounds, words = metadata.get("bounds", {}), metadata.get("expected")
    for kind in kinds:
        origin, parts = get_origin(kind), get_args(kind)
        whole = int in (kind, *parts)
        if origin is None and _is_number(value, whole, bounds):
            return value
        if origin is dict and isinstance(value, Mapping):
            for name, one in value.items():
                if not _is_number(one, whole, bounds):
                    raise ConfigError(
                        f"{key}: expected {words or 'a number'} for {quoted(name)}, got {quoted(one)}."
                    )
            return value
        if origin in (list, tuple) and isinstance(value, list | tuple):
            right_length = len(value) == len(parts) if origin is tuple else len(value) > 0
            if right_length and all(_is_number(one, whole, bounds) for one in value):
                return value if isinstance(value, origin) else origin(value)
    expected = words or _expected(kinds, bounds)
    has_top = any(bounds.get(name) is not None for name in ("at_most", "below"))
    if int in kinds and _is_too_large(value) and not has_top:
        expected += " below 2^63" if expected.endswith(("number", "numbers")) else " and below 2^63"
    raise ConfigError(f"{key}: expected {expected}, got {quoted(value)}.")


def _is_too_large(value: Any) -> bool:
    """Whether it is, or has in it, a whole number that no setting takes."""
    if isinstance(value, list | tuple):
        return any(map(_is_too_large, value))
    return isinstance(value, int) and not -LARGEST <= value <= LARGEST


def _is_number(value: Any, whole: bool, bounds: Mapping[str, float | None]) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    if whole and _is_too_large(value):
        return False
    if not whole and not -sys.float_info.max <= value <= sys.float_info.max:  # no NaN and no infinity
        return False
    at_least, above, at_most, below = (bounds.get(name) for name in ("at_least", "above", "at_most", "below"))
    return (
        (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )


def _expected(kinds: Sequence[Any], bounds: Mapping[str, float | None]) -> str:
    """The types and the range in words."""
    if get_origin(kinds[0]) is dict:
        return "a mapping of names to numbers"
    noun = "whole number" if int in (kinds[0], *get_args(kinds[0])) else "number"
    noun = f"{noun}s" if any(get_origin(kind) in (list, tuple) for kind in kinds) else f"a {noun}"
    at_least, above, at_most, below = (bounds.get(name) for name in ("at_least", "above", "at_most", "below"))
    low, high = at_least if above is None else above, at_most if below is None else below
    if low is not None and high is not None:
        if above is None and below is None:
            return f"{noun} from {low:g} to {high:g}"
        return f"{noun} in {'[' if above is None else '('}{low:g}, {high:g}{']' if below is None else ')'}"
    if at_least is not None:
        return f"{noun} of at least {at_least:g}"
    if above is not None:
        return f"{noun} above {above:g}"
    if high is not None:
        return f"{noun} of at most {high:g}" if below is None else f"{noun} below {high:g}"
    return noun


def _names(metadata: Mapping[str, Any]) -> Sequence[str]:
    names = metadata["names"]
    return tuple(names() if callable(names) else names)


def _check_name(key: str, value: Any, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(
            f"{key}: expected one of {', '.join(map(str, known))}, got {quoted(value)}.{nearest(str(value), known)}"
        )


def _is_path(text: str) -> bool:
    """Whether a text can be the name of a file on this system."""
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # parts of characters
        return False


def _paths(key: str, value: Any) -> list[str]:
    if isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Sequence):
        raise ConfigError(
            f"{key}: expected a list of files, got {quoted(value)}. Write [{quoted(str(value))}]."
        )
    for path in value:
        if not isinstance(path, str | os.PathLike) or not _is_path(str(path)):
            raise ConfigError(f"{key}: expected a list of file names, got {quoted(path)} in it.")
    return [str(path) for path in value]


# --- what is chosen when training begins ----------------------------------------------------------------


def is_auto(value: Any) -> bool:
    """Whether a setting's value is left to be chosen."""
    return isinstance(value, str) and value == AUTO


def automatic_keys(config: Any, prefix: str = "") -> dict[str, Any]:
    """The dotted keys of a configuration that are `AUTO`, each with what it is where nothing is known of the data."""
    keys: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            keys |= automatic_keys(value, f"{prefix}{field.name}.")
        elif "auto" in field.metadata and is_auto(value):
            keys[prefix + field.name] = field.metadata["auto"]
    return keys


def replaced(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with other values under some dotted keys, all at once, so that they are checked together.

    Raises:
        ConfigError: a value is out of range, or two contradict each other.
    """
    parts: dict[str, dict[str, Any]] = {}
    changes: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, rest = key.partition(".")
        if dot:
            parts.setdefault(section, {})[rest] = value
        else:
            changes[section] = value
    inner = {section: replaced(getattr(config, section), part) for section, part in parts.items()}
    return dataclasses.replace(config, **changes, **inner)  # type: ignore[type-var]


def value_at(config: Any, key: str) -> Any:
    """The value under a dotted key."""
    for name in key.split("."):
        config = getattr(config, name)
    return config


def filled(config: Config) -> Config:
    """The configuration with a number for everything that is `AUTO`, as where nothing is known of the data."""
    unknown = automatic_keys(config)
    return replaced(config, unknown) if unknown else config


# --- reading and writing ------------------------------------------------------------------------------


def build(kind: type[Config], values: Any, path: str = "") -> Config:
    """A dataclass from plain values, the dataclasses in it included.

    Args:
        kind: the dataclass.
        values: a mapping of its fields; those left out keep their defaults.
        path: the dotted key of the dataclass and a dot, where it is in another one.

    Raises:
        TypeError: `values` is no mapping, or has an unknown key.
        ConfigError: a value is out of range.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"expected a mapping of keys, got {quoted(values)}")
    hints, fields = _hints(kind), dict(values)
    for key, value in fields.items():
        if dataclasses.is_dataclass(hints.get(key)):
            fields[key] = build(hints[key], value, f"{path}{key}.")
        elif get_origin(hints.get(key)) is tuple and isinstance(value, list):
            fields[key] = tuple(value)  # YAML has lists only
    try:
        return kind(**fields)
    except (
        ConfigError
    ) as error:  # which names the field only, where a dataclass does not know what it is part of
        field = re.match(r"\w*", str(error))
        raise ConfigError(f"{path}{error}" if field and field[0] in hints else str(error)) from error


def plain(config: Any) -> dict[str, Any]:
    """Every key resolved, as plain values, files by their absolute paths: what `config.yaml` holds."""
    values = dataclasses.asdict(config)
    for key in keys_with(type(config), "files"):
        *sections, name = key.split(".")
        place = values
        for section in sections:
            place = place[section]
        if isinstance(place[name], list):
            place[name] = [str(whole_path(path)) for path in place[name]]
        elif place[name] is not None:
            place[name] = str(whole_path(place[name]))
    return values


def keys_with(config: type, mark: str, prefix: str = "") -> list[str]:
    """The dotted keys whose fields have a mark, `files` or `fixed`."""
    assert mark in MARKS
    return [f"{prefix}{key}" for key, field, _ in fields_of(config) if field.metadata.get(mark)]


def fields_of(config: type) -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Each field with its dotted key and its type; those of dataclasses in it are gone into."""
    hints = _hints(config)
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            for key, inner, kind in fields_of(hint):
                yield f"{field.name}.{key}", inner, kind
        else:
            yield field.name, field, hint


def sections_of(keys: Iterable[str]) -> set[str]:
    """The sections, and sections in sections, that dotted keys stand in."""
    return {key[:dot] for key in keys for dot in range(len(key)) if key[dot] == "."}


def default_of(field: dataclasses.Field[Any]) -> Any:
    """The declared default of a field."""
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def help_of(config: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of its bases say of each field, under `Args:` or `Attributes:`."""
    helps = [_docstring_help(base.__doc__ or "") for base in reversed(config.__mro__)]
    return {name: help for each in helps for name, help in each.items()}


def _docstring_help(docstring: str) -> dict[str, str]:
    text = inspect.cleandoc(docstring)
    section = re.search(r"^(?:Args|Attributes):\n((?:(?: .*)?\n?)*)", text, re.MULTILINE)
    entries = re.findall(
        r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE
    )
    return {
        name: " ".join(help.replace("`", "").split()).rstrip(".")
        for names, help in entries
        for name in names.split(", ")
    }


def _hints(kind: type) -> dict[str, Any]:
    """The types of a class's fields, worked out once."""
    if kind not in _known_hints:
        _known_hints[kind] = get_type_hints(kind)
    return _known_hints[kind]


_known_hints: dict[type, dict[str, Any]] = {}


def _alternatives(hint: Any) -> list[Any]:
    """The types of a union, or the one type."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]
