"""The options of a verb: plain ones, and every key of a configuration dataclass under its dotted name.

jsonargparse converts and checks the values; this module gives it the keys, reads the configuration file,
and turns each complaint into one line.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from argparse import Action, ArgumentError
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace

from recurra.errors import ConfigError, nearest

Config = TypeVar("Config")

FROM_COMMAND_LINE_ONLY = "model.cell"
"""The key whose value may name code, FILE.py:Class; a file that is loaded must not."""

TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    type(None): "null",
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
        self._verb = verb
        self._parser = ArgumentParser(
            prog=f"recurra {verb}",
            usage=f"recurra {verb} {usage}",
            description=description,
            formatter_class=_HelpFormatter,
            exit_on_error=False,
            allow_abbrev=False,
        )
        self._types: dict[str, Any] = {"help": bool}
        self._defaults: dict[str, Any] = {}
        self._group: Any = self._parser

    def group(self, title: str, description: str = "") -> None:
        """Begin a group of options in the help."""
        self._group = self._parser.add_argument_group(title, description or None)

    def positional(self, name: str, help: str, optional: bool = False, several: bool = False) -> None:
        """Add a positional argument, shown in capitals: one, none or one, or a list of one or more."""
        extra: dict[str, Any] = {"nargs": "?"} if optional else {"nargs": "+"} if several else {}
        self._parser.add_argument(name, type=str, metavar=name.upper(), help=help, **extra)

    def add(self, name: str, type: Any, default: Any, help: str, metavar: str | None = None) -> None:
        """Add `--name`; a bool needs no value, a list of text takes one or more."""
        key = name.replace("-", "_")
        self._types[name], self._defaults[key] = type, default
        shape: dict[str, Any] = {"type": type}
        if type == list[str]:
            shape = {"type": str, "nargs": "+"}
        elif type is bool:
            shape = {"type": bool, "nargs": "?", "const": True}
        if get_origin(type) is not Literal:
            shape["metavar"] = metavar or METAVARS.get(type, "VALUE")
        self._group.add_argument(f"--{name}", default=default, help=_with_default(help, default), **shape)

    def flag(self, name: str, help: str) -> None:
        """Add `--name`, which is off unless given."""
        self._types[name] = bool
        self._group.add_argument(f"--{name}", action="store_true", help=_with_default(help, None))

    def add_config(self, config: type, titles: dict[str, str]) -> None:
        """Add `--config FILE` and every key of a dataclass of dataclasses, one group for each of them."""
        self.add("config", str, None, "a YAML file of the keys below; the command line overrides it", "FILE")
        for section in dataclasses.fields(config):
            self.group(f"{section.name}.*", titles.get(section.name, ""))
            kind = get_type_hints(config)[section.name]
            for key, hint, default, help in _keys(kind, section.name):
                files = hint == list[str] and key.startswith(("data.train", "data.valid", "data.test"))
                metavar = "FILE" if files else None
                self.add(key, hint, default, help, metavar)

    # ---------------------------------------------------------------- parsing

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """The values, by dotted key; `--help` prints the help and exits.

        Raises:
            ConfigError: an option is unknown or missing, or its value is not of its type.
        """
        self._check_names(arguments)
        file = _value_of("--config", arguments) if "config" in self._types else None
        if file is not None:
            self._parser.set_defaults(self._read_config(Path(file)))
        try:
            return self._parser.parse_args(list(arguments))
        except ArgumentError as error:
            raise ConfigError(self._one_line(str(error))) from error

    def build(self, config: type[Config], values: Namespace) -> Config:
        """The dataclass whose keys `add_config` added, from what `parse` returned.

        Raises:
            ConfigError: a value is out of range.
        """
        built: Config = _build(config, values)
        return built

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
        if found := re.search(r'Parser key "([^"]+)"', message):
            name = self._name(found[1])
            got = re.search(r"(?:Given value|Got value): (.*)\Z", message, re.DOTALL)
            return _wrong(f"--{name}", self._types.get(name, str), got[1] if got else "another type")
        if found := re.search(r"argument (\S+?)(?:/\S+)?: expected (?:at least )?one argument", message):
            return f"{found[1]}: expected a value, got none (one that begins with a dash is written {found[1]}=-...)."
        if found := re.search(r'required: (.*)|Option "(\S+)" is required', message):
            missing = (found[1] or found[2]).upper()
            return f"{missing}: expected, got nothing; `recurra {self._verb} --help` shows the usage."
        if found := re.search(r"unrecognized arguments: (.*)", message, re.DOTALL):
            return f"{found[1]!r}: not expected here; `recurra {self._verb} --help` shows the usage."
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
        if value is None:
            if self._defaults[key] is not None:
                raise wrong
            return None
        try:
            parsed = self._parser.parse_object(_nested(key, value), defaults=False)
        except ArgumentError as error:
            raise wrong from error
        return parsed[key]


def _with_default(help: str, default: Any) -> str:
    """The help of an option, its default at the end; None and the empty list go without saying."""
    if default is None or default == []:
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


def _keys(config: Any, prefix: str) -> Iterator[tuple[str, Any, Any, str]]:
    """Each key of a dataclass, dotted, with its type, default and help; nested dataclasses are gone into."""
    hints, helps = get_type_hints(config), field_help(config)
    for field in dataclasses.fields(config):
        key, hint = f"{prefix}.{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _keys(hint, key)
        else:
            # The declared default, not that of an instance, which may have put a value for None already.
            factory = field.default_factory
            default = field.default if factory is dataclasses.MISSING else factory()
            yield key, hint, default, helps.get(field.name, "")


def field_help(config: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of its bases say of each field, under `Args:` or `Attributes:`.

    None is null there.
    """
    helps = [_docstring_help(base.__doc__ or "") for base in reversed(config.__mro__)]
    return {name: help for each in helps for name, help in each.items()}


def _docstring_help(docstring: str) -> dict[str, str]:
    text = re.sub(r"\bNone\b", "null", inspect.cleandoc(docstring))
    section = re.search(r"^(?:Args|Attributes):\n((?:(?: .*)?\n?)*)", text, re.MULTILINE)
    entries = re.findall(
        r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", section[1] if section else "", re.MULTILINE
    )
    return {
        name: " ".join(help.replace("`", "").split()).rstrip(".")
        for names, help in entries
        for name in names.split(", ")
    }


def _build(config: Any, values: Namespace) -> Any:
    hints = get_type_hints(config)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value, hint = values[field.name], hints[field.name]
        fields[field.name] = _build(hint, value) if dataclasses.is_dataclass(hint) else value
    return config(**fields)


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value that the option is given last, or None; the parser itself sees to a missing one."""
    value = None
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            value = arguments[index + 1]
        elif argument.startswith(f"{option}="):
            value = argument.partition("=")[2]
    return value


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
        raise ConfigError(f"--config {path}: cannot be read ({reason}).") from error
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
