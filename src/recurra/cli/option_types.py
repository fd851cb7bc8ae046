"""The types of options in words: in the help, and in messages about a value that is not of its type."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

from recurra.errors import nearest, quoted

TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "none",
    list[int] | None: "whole numbers, such as 1 2",
}
"""How a message names a type."""

METAVARS: dict[Any, str] = {
    bool: "true|false",
    int: "N",
    int | None: "N",
    int | list[int]: "N|[N,...]",
    list[int]: "[N,...]",
    list[int] | None: "N",
    float: "X",
    float | None: "X",
    float | dict[str, float]: "X|{NAME: X,...}",
    dict[str, float] | None: "{NAME: X,...}",
    tuple[float, float]: "[X,X]",
    str: "TEXT",
    str | None: "TEXT",
}
"""How a value of each type is written in the help."""


def choices_of(kind: Any) -> str:
    """The names that a type allows beside none, as the help writes them; empty where it allows other values."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    if len(parts) != 1 or get_origin(parts[0]) is not Literal:
        return ""
    return "{" + ",".join(map(str, get_args(parts[0]))) + "}"


def with_default(help: str, default: Any, of_key: bool = False) -> str:
    """The help of an option with its default at the end.

    Args:
        help: what the option is.
        default: none and the empty list are shown as none where the option is a key of a configuration, else not at
            all: there they stand for something that must be given, or for nothing special.
        of_key: whether it is one.
    """
    if "(default:" in help or ((default is None or default == []) and not of_key):
        return help
    if default is None or default == []:
        return f"{help} (default: none)"
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"{help} (default: {shown})"


def names_in(kind: Any) -> list[str]:
    """The names that a type allows, beside whatever else it allows."""
    parts = [kind] if get_origin(kind) is Literal else get_args(kind)
    return [str(name) for part in parts if get_origin(part) is Literal for name in get_args(part)]


def is_none(value: Any, kind: Any) -> bool:
    """Whether a value is the word `none`, and means that of a type: of a text, it is one as any other."""
    parts = get_args(kind)
    return value == "none" and type(None) in parts and str not in parts and "none" not in names_in(kind)


def wrong_value(what: str, kind: Any, got: Any) -> str:
    """A message about a value that is not of its type.

    Args:
        what: the option or key, and where it stands.
        kind: its type.
        got: the value.
    """
    hint = nearest(str(got), names_in(kind))
    return f"{what}: expected {describe(kind)}, got {quoted(got)}.{hint}"


def describe(kind: Any) -> str:
    """A type in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in TYPE_NAMES:
        return TYPE_NAMES[kind]
    if origin is Literal:
        return ("one of " if len(parts) > 1 else "") + ", ".join(map(str, parts))
    if origin in (Union, types.UnionType):
        words = [describe(part) for part in parts]
        return " or ".join([", ".join(words[:-1]), words[-1]])
    if origin is list:
        return f"a list such as [{', '.join(['...'] * 2)}] of {describe(parts[0]).removeprefix('a ')}s"
    if origin is tuple:
        return f"a list of {len(parts)}, each {describe(parts[0])}"
    if origin is dict:
        return f"a mapping of names to {describe(parts[1]).removeprefix('a ')}s"
    return TYPE_NAMES.get(kind, "another value")
