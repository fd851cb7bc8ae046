"""The options of a verb: plain ones, and every key of a configuration dataclass under its dotted name.

jsonargparse converts and checks the values; this module gives it the keys, and those of the configuration file, and
turns each complaint into one line.
"""

from __future__ import annotations

import dataclasses
import re
import types
from argparse import Action, ArgumentError
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from recurra.cli.config_files import find_config, read_yaml, recipe_names
from recurra.errors import ConfigError, nearest
from recurra.settings import build, check_number, default_of, fields_of, help_of

Config = TypeVar("Config")

FROM_COMMAND_LINE_ONLY = "model.cell"
"""The key whose value may name code, FILE.py:Class; a file that is loaded must not."""

TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "none",
}


METAVARS: dict[Any, str] = {
    bool: "true|false",
    int: "N",
    int | None: "N",
    int | list[int]: "N|[N,...]",
    list[int]: "[N,...]",
    float: "X",
    float | None: "X",
    float | dict[str, float]: "X|{NAME: X,...}",
    dict[str, float] | None: "{NAME: X,...}",
    tuple[float, float]: "[X,X]",
    str: "TEXT",
    str | None: "TEXT",
}
"""How a value of each type is written in the help."""


class Options:
    """The options that one verb takes."""

    def __init__(self, verb: str, description: str, usage: str) -> None:
        self._verb, self._usage = verb, usage
        self._parser = ArgumentParser(
            prog=f"recurra {verb}",
            usage=f"recurra {verb} {usage}",
            description=description,
            formatter_class=_HelpFormatter,
            exit_on_error=False,
            allow_abbrev=False,
        )
        self._types: dict[str, Any] = {"help": bool}
        self._least: dict[str, int] = {}
        self._has_positionals = False
        self._typed: list[str] = []
        self._group: Any = self._parser

    def group(self, title: str, description: str = "") -> None:
        """Begin a group of options in the help."""
        self._group = self._parser.add_argument_group(title, description or None)

    def positional(self, name: str, help: str, optional: bool = False, several: bool = False) -> None:
        """Add a positional argument, shown in capitals: one, none or one, or a list of one or more."""
        extra: dict[str, Any] = {"nargs": "?"} if optional else {"nargs": "+"} if several else {}
        self._parser.add_argument(name, type=str, metavar=name.upper(), help=help, **extra)
        self._has_positionals = True

    def add(self, name: str, type: Any, default: Any, help: str, metavar: str | None = None) -> None:
        """Add `--name`; a bool needs no value, a list of text takes one or more."""
        self._types[name] = type
        shape: dict[str, Any] = {"type": type}
        if type == list[str]:
            shape = {"type": str, "nargs": "+"}
        elif type == list[int] and "." not in name:
            shape = {"type": int, "nargs": "+"}
        elif type is bool:
            shape = {"type": bool, "nargs": "?", "const": True}
        if get_origin(type) is not Literal:
            shape["metavar"] = metavar or METAVARS.get(type) or _choices(type) or "VALUE"
        self._group.add_argument(f"--{name}", default=default, help=_with_default(help, default), **shape)

    def at_least(self, name: str, least: int) -> None:
        """Refuse smaller values of an option that `add` added."""
        self._least[name] = least

    @property
    def names(self) -> set[str]:
        """The names of all options, without their dashes."""
        return set(self._types)

    def add_dataclass(self, kind: type, leave_out: Sequence[str] = ()) -> None:
        """Add every field of a flat dataclass as `--field-name`, with its type, default and help."""
        helps = help_of(kind)
        for key, field, hint in fields_of(kind):
            name = key.replace("_", "-")
            if key in leave_out or name in self._types:
                continue
            if hint is bool and default_of(field) is False:
                self.flag(name, helps.get(key, ""))  # takes no value, so that RUN may stand after it
                continue
            metavar = "FILE" if field.metadata.get("files") else None
            self.add(name, hint, default_of(field), helps.get(key, ""), metavar)

    def given(self, values: Namespace, kind: type) -> dict[str, Any]:
        """The values of a dataclass's fields that were typed, by the fields' names."""
        known = {key for key, _, _ in fields_of(kind)}
        given: dict[str, Any] = {}
        for name in self._typed:
            key = name.replace("-", "_")
            if key in known:
                given[key] = values[key]
        return given

    def flag(self, name: str, help: str) -> None:
        """Add `--name`, which is off unless given."""
        self._types[name] = bool
        self._group.add_argument(f"--{name}", action="store_true", help=_with_default(help, None))

    def add_config(self, config: type, titles: dict[str, str]) -> None:
        """Add `--config FILE` and every key of a dataclass of dataclasses, one group for each of them."""
        recipes = ", ".join(recipe_names())
        recipe = f", or the name of a recipe ({recipes})" if recipes else ""
        help = f"a YAML file of the keys below{recipe}; the command line overrides it"
        self.add("config", str, None, help, "FILE")
        sections, helps = [section.name for section in dataclasses.fields(config)], _section_helps(config)
        for section in sections:
            self.group(f"{section}.*", titles.get(section, ""))
            for key, field, hint in fields_of(config):
                if key.partition(".")[0] == section:
                    metavar = "FILE" if field.metadata.get("files") else None
                    self.add(key, hint, default_of(field), helps.get(key, ""), metavar)

    # ---------------------------------------------------------------- parsing

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """The values, by dotted key; `--help` prints the help and exits.

        Raises:
            ConfigError: an option is unknown or missing, or its value is not of its type.
        """
        self._check_names(arguments)
        self._typed = [
            argument.removeprefix("--").partition("=")[0]
            for argument in takewhile(lambda argument: argument != "--", arguments)
            if argument.startswith("--")
        ]
        file = _value_of("--config", arguments) if "config" in self._types else None
        if file is not None:
            self._parser.set_defaults(self._read_config(find_config(file)))
        try:
            values = self._parser.parse_args(self._positionals_first(self._with_null(arguments)))
        except ArgumentError as error:
            raise ConfigError(self._one_line(str(error))) from error
        for name, least in self._least.items():
            check_number(f"--{name}", values[name.replace("-", "_")], int | None, at_least=least)
        return values

    def _with_null(self, arguments: Sequence[str]) -> list[str]:
        """The arguments, with jsonargparse's `null` in the place of the value `none` of an option that may be none."""
        replaced: list[str] = []
        name = ""
        for position, argument in enumerate(arguments):
            if argument == "--":
                return [*replaced, *arguments[position:]]
            option, equals, value = argument.partition("=")
            if argument.startswith("--"):
                name = option.removeprefix("--")
                is_none = bool(equals) and _is_none(value, self._types.get(name))
                replaced.append(f"{option}=null" if is_none else argument)
            else:
                replaced.append("null" if _is_none(argument, self._types.get(name)) else argument)
                name = ""
        return replaced

    def _positionals_first(self, arguments: Sequence[str]) -> list[str]:
        """The arguments with positional ones before options: argparse takes an optional one nowhere else."""
        if not self._has_positionals:
            return list(arguments)
        positionals: list[str] = []
        options: list[str] = []
        kind: Any = bool  # of the option that may take the next argument as its value; bool: it takes none
        for position, argument in enumerate(arguments):
            if argument == "--":
                return [*options, "--", *positionals, *arguments[position + 1 :]]
            if argument.startswith("--"):
                name, equals, _ = argument.removeprefix("--").partition("=")
                kind = bool if equals else self._types.get(name, str)
                options.append(argument)
            elif kind is bool and argument not in ("true", "false"):
                positionals.append(argument)
            else:
                options.append(argument)
                kind = kind if get_origin(kind) is list else bool
        return [*positionals, *options]

    def build(self, config: type[Config], values: Namespace) -> Config:
        """The dataclass whose keys `add_config` added, from what `parse` returned.

        Raises:
            ConfigError: a value is out of range.
        """
        sections = [section.name for section in dataclasses.fields(config)]  # type: ignore[arg-type]
        return build(config, {section: values[section].as_dict() for section in sections})

    def _check_names(self, arguments: Sequence[str]) -> None:
        for argument in arguments:
            if argument == "--":
                return
            name = argument.removeprefix("--").partition("=")[0]
            if argument.startswith("--") and name not in self._types:
                hint = nearest(name, self._types) or f" `recurra {self._verb} --help` lists them."
                hint = re.sub(r"'(\S+)'\?$", r"--\1?", hint)
                raise ConfigError(f"--{name}: no such option of `recurra {self._verb}`.{hint}")

    def _one_line(self, message: str) -> str:
        """A complaint of jsonargparse, which may take eight lines, as: option, what was expected, what came."""
        if matched := re.search(r'Parser key "([^"]+)"', message):
            name = self._name(matched[1])
            got = re.search(r"(?:Given value|Got value): (.*)\Z", message, re.DOTALL)
            return _wrong(f"--{name}", self._types.get(name, str), got[1] if got else "another type")
        if matched := re.search(r"argument (\S+?)(?:/\S+)?: expected (?:at least )?one argument", message):
            option = matched[1]
            return f"{option}: expected a value, got none (one that begins with a dash is written {option}=-...)."
        if matched := re.search(r'required: (.*)|Option "(\S+)" is required', message):
            missing = (matched[1] or matched[2]).upper()
            if missing == "RUN":
                return f"give a run folder: recurra {self._verb} RUN"
            several = missing.replace(", ", " and ")
            what = f"a {missing}" if several == missing else several
            return f"give {what}: recurra {self._verb} {self._usage}"
        if matched := re.search(r"unrecognized arguments: (.*)", message, re.DOTALL):
            return f"{matched[1]!r}: not expected here; `recurra {self._verb} --help` shows the usage."
        return " ".join(message.split())

    def _name(self, key: str) -> str:
        """The option whose key, dashes as underscores, jsonargparse speaks of."""
        return next((name for name in self._types if name.replace("-", "_") == key), key)

    # ---------------------------------------------------------------- configuration file

    def _read_config(self, path: Path) -> dict[str, Any]:
        """The keys of a YAML file, converted to their types."""
        keys = [key for key in self._types if "." in key]
        values: dict[str, Any] = {}
        for line, key, value in read_yaml(path, keys):
            where = f"{path}, line {line}"
            if key not in keys:
                known = [*keys, *{key.partition(".")[0] for key in keys}]
                raise ConfigError(f"{where}: unknown key {key!r}.{nearest(key, known)}")
            if key in values:
                raise ConfigError(f"{where}: key {key!r} is given twice; keep one.")
            if key == FROM_COMMAND_LINE_ONLY and isinstance(value, str) and ":" in value:
                raise ConfigError(
                    f"{where}: {key} may name a built-in cell only, got {value!r}; "
                    f"code is named on the command line: --{key} {value}"
                )
            values[key] = self._convert(where, key, value)
        return values

    def _convert(self, where: str, key: str, value: Any) -> Any:
        kind = self._types[key]
        wrong = ConfigError(_wrong(f"{where}: {key}", kind, value))
        if kind == list[str]:
            value = [value] if isinstance(value, str) else value
            if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
                raise wrong
            return value
        if value is None or _is_none(value, kind):
            if type(None) not in get_args(kind):
                raise wrong
            return None
        try:
            parsed = self._parser.parse_object(_nested(key, value), defaults=False)
        except ArgumentError as error:
            raise wrong from error
        return parsed[key]


def _choices(kind: Any) -> str:
    """The names that a type allows beside none, as the help writes them; empty where it allows other values."""
    parts = [part for part in get_args(kind) if part is not type(None)]
    if len(parts) != 1 or get_origin(parts[0]) is not Literal:
        return ""
    return "{" + ",".join(map(str, get_args(parts[0]))) + "}"


def _with_default(help: str, default: Any) -> str:
    """The help of an option, its default at the end; none and the empty list go without saying."""
    if default is None or default == [] or "(default:" in help:
        return help
    shown = str(default).lower() if isinstance(default, bool) else default
    return f"{help} (default: {shown})"


class _HelpFormatter(DefaultHelpFormatter):
    """That of jsonargparse without its notes on types, and without `--key+ VALUE`, which appends to lists."""

    def _get_help_string(self, action: Action) -> str:
        return action.help or ""

    def _format_action_invocation(self, action: Action) -> str:
        forms: str = super()._format_action_invocation(action)
        return ", ".join(form for form in forms.split(", ") if not re.match(r"--\S+\+", form))


def _section_helps(config: type, prefix: str = "") -> dict[str, str]:
    """The help of each dotted key of a dataclass of dataclasses."""
    hints, by_name = get_type_hints(config), help_of(config)
    helps: dict[str, str] = {}
    for field in dataclasses.fields(config):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            helps |= _section_helps(hint, f"{key}.")
        else:
            helps[key] = by_name.get(field.name, "")
    return helps


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value that the option is given last, or None; the parser itself sees to a missing one."""
    value = None
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            value = arguments[index + 1]
        elif argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
    return value


def _is_none(value: Any, kind: Any) -> bool:
    """Whether a value is the word `none`, and means that of a type: of a text, it is one as any other."""
    parts = get_args(kind)
    names = [name for part in parts if get_origin(part) is Literal for name in get_args(part)]
    return value == "none" and type(None) in parts and str not in parts and "none" not in names


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _wrong(what: str, kind: Any, got: Any) -> str:
    hint = nearest(str(got), [str(value) for value in get_args(kind)]) if get_origin(kind) is Literal else ""
    return f"{what}: expected {describe(kind)}, got {got!r}.{hint}"


def describe(kind: Any) -> str:
    """A type in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(map(str, parts))
    if origin in (Union, types.UnionType):
        return " or ".join(map(describe, parts))
    if origin is list:
        return f"a list such as [{', '.join(['...'] * 2)}] of {describe(parts[0]).removeprefix('a ')}s"
    if origin is tuple:
        return f"a list of {len(parts)}, each {describe(parts[0])}"
    if origin is dict:
        return f"a mapping of names to {describe(parts[1]).removeprefix('a ')}s"
    return TYPE_NAMES.get(kind, "another value")


def check_text(option: str, text: str) -> str:
    """The text given for an option.

    Raises:
        ConfigError: the shell passed bytes that the locale's encoding does not know.
    """
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(
            f"{option}: expected text in the terminal's encoding, got other bytes; re-encode it."
        )
    return text
