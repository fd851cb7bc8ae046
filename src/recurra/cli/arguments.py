"""The arguments of a verb as typed, put into the form in which jsonargparse reads them.

Everything after `--` is left alone. `types` are those of the options, by their names without dashes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile
from typing import Any

from recurra.cli.option_types import is_none, names_in, wrong_value
from recurra.errors import ConfigError
from recurra.plain_yaml import read_plain_yaml

Types = Mapping[str, Any]


def names_typed(arguments: Sequence[str]) -> list[str]:
    """The names of the options among the arguments, without dashes."""
    before_end = takewhile(lambda argument: argument != "--", arguments)
    return [
        argument.removeprefix("--").partition("=")[0] for argument in before_end if argument.startswith("--")
    ]


def values_of(name: str, arguments: Sequence[str]) -> list[str]:
    """The values that an option of one value is given, in order; the parser itself sees to a missing one."""
    values = []
    before_end = list(takewhile(lambda argument: argument != "--", arguments))
    for index, argument in enumerate(before_end):
        if argument == f"--{name}" and index + 1 < len(before_end):
            values.append(before_end[index + 1])
        elif argument.startswith(f"--{name}="):
            values.append(argument.partition("=")[2])
    return values


def join_lists(arguments: Sequence[str], types: Types) -> list[str]:
    """The arguments, the values of a list that is given several times behind its first name."""
    values: dict[str, list[str]] = {}
    others: list[str] = []
    name = ""
    for position, argument in enumerate(arguments):
        if argument == "--":
            others += arguments[position:]
            break
        option, equals, value = argument.partition("=")
        if argument.startswith("--"):
            name = option if _begins_list(option, types) else ""
            if name and name not in values:
                others.append(name)
            if name:
                values.setdefault(name, []).extend([value] if equals else [])
        if not name:
            others.append(argument)
        elif not argument.startswith("--"):
            values[name].append(argument)
    joined: list[str] = []
    for argument in others:
        given = values.pop(argument, []) if _begins_list(argument, types) else []
        # A value that begins with a dash is taken in this form only.
        joined += [f"{argument}={given[0]}"] if len(given) == 1 else [argument, *given]
    return joined


def takes_several(kind: Any, name: str) -> bool:
    """Whether an option of a type takes one or more values; a key with numbers takes one, which is a list."""
    return kind in (list[str], list[int] | None) or (kind == list[int] and "." not in name)


def _begins_list(argument: str, types: Types) -> bool:
    name = argument.removeprefix("--")
    return argument.startswith("--") and takes_several(types.get(name), name)


def plain_values(arguments: Sequence[str], types: Types, flags: Collection[str]) -> list[str]:
    """The arguments, each value that is no text checked, and written as JSON.

    jsonargparse reads values as YAML 1.1, in which 010 is eight, 1:30 is ninety, and tags and aliases are obeyed.

    Args:
        arguments: as typed, but positional ones before options.
        types: of the options.
        flags: the options that take no value.

    Raises:
        ConfigError: a value is not of its option's type.
    """
    written: list[str] = []
    name = ""
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*written, *arguments[position:]]
        option, equals, value = argument.partition("=")
        if argument.startswith("--"):
            name = option.removeprefix("--")
            is_value = bool(equals) and name not in flags
            written.append(f"{option}={_plain(name, value, types[name])}" if is_value else argument)
            name = "" if equals or name in flags else name
        elif name and not (types[name] is bool and argument not in ("true", "false")):
            written.append(_plain(name, argument, types[name]))
            name = name if takes_several(types[name], name) else ""
        elif name:  # which is true or false, and positional arguments stand before it
            raise ConfigError(wrong_value(f"--{name}", types[name], argument))
        else:
            written.append(argument)
    return written


def _plain(name: str, value: str, kind: Any) -> str:
    """A value of an option as JSON; a text, or one of several names, as it is.

    Raises:
        ConfigError: it is not of the option's type.
    """
    if kind in (str, str | None, list[str]) or value in names_in(kind):
        return value
    if is_none(value, kind):
        return "null"
    wrong = ConfigError(wrong_value(f"--{name}", kind, value))
    if not value.strip():  # YAML's null, but on a command line a variable that was not set
        raise wrong
    try:
        plain = read_plain_yaml(value, f"--{name}")
        if isinstance(plain, str):
            raise wrong
        return json.dumps(plain, allow_nan=False)
    except ConfigError as error:
        raise error if value.startswith(("[", "{")) else wrong from error
    except ValueError as error:  # an infinity, or no number
        raise wrong from error


def positionals_first(arguments: Sequence[str], types: Types) -> list[str]:
    """The arguments with positional ones before options: argparse takes an optional one nowhere else."""
    positionals: list[str] = []
    options: list[str] = []
    name, kind = "", bool  # of the option that may take the next argument as its value; bool: it takes none
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*options, "--", *positionals, *arguments[position + 1 :]]
        if argument.startswith("--"):
            name, equals, _ = argument.removeprefix("--").partition("=")
            kind = bool if equals else types.get(name, str)
            options.append(argument)
        elif kind is bool and argument not in ("true", "false"):
            positionals.append(argument)
        else:
            options.append(argument)
            kind = kind if takes_several(kind, name) else bool
    return [*positionals, *options]
