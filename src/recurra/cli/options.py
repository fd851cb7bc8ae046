"""The options of a verb: plain ones, and every key of a configuration dataclass under its dotted name.

jsonargparse converts and checks the values; this module gives it the keys, and those of the configuration file, and
turns each complaint into one line.
"""

from __future__ import annotations

import dataclasses
import re
from argparse import SUPPRESS, Action, ArgumentError
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace, set_loader

from recurra import __version__
from recurra.cli.arguments import join_lists, names_typed, plain_values, positionals_first, values_of
from recurra.cli.config_files import find_config, read_yaml, recipe_names
from recurra.cli.hints import option_hint
from recurra.cli.option_types import METAVARS, choices_of, is_none, with_default, wrong_value
from recurra.errors import ConfigError, nearest, quoted, shortened
from recurra.plain_yaml import read_plain_yaml
from recurra.settings import AUTO, build, check_number, default_of, fields_of, help_of

Config = TypeVar("Config")

FROM_COMMAND_LINE_ONLY = "model.cell"
"""The key whose value may name code, FILE.py:Class; a file that is loaded must not."""

HELP_ALL = "--help-all"
PLAIN = "plain"
"""The name under which jsonargparse knows the reader of values."""
set_loader(PLAIN, partial(read_plain_yaml, name="the value"), exceptions=(ConfigError,))


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
            parser_mode=PLAIN,
        )
        self._types: dict[str, Any] = {"help": bool}
        self._limits: dict[str, dict[str, int]] = {}
        self._positionals: list[str] = []
        self._flags: set[str] = {"help"}  # they take no value
        self._paths: set[str] = set()
        self._typed: list[str] = []
        self._hidden: set[str] = set()  # from the short help
        self._group: Any = self._parser

    def group(self, title: str, description: str = "") -> None:
        """Begin a group of options in the help."""
        self._group = self._parser.add_argument_group(title, description or None)

    def positional(self, name: str, help: str, optional: bool = False, several: bool = False) -> None:
        """Add a positional argument, shown in capitals: one, none or one, or a list of one or more."""
        extra: dict[str, Any] = {"nargs": "?"} if optional else {"nargs": "+"} if several else {}
        self._parser.add_argument(name, type=str, metavar=name.upper(), help=help, **extra)
        self._positionals.append(name)

    def add(
        self,
        name: str,
        type: Any,
        default: Any,
        help: str,
        metavar: str | None = None,
        of_key: bool = False,
    ) -> None:
        """Add `--name`; a bool needs no value, a list of text takes one or more.

        Args:
            name: without dashes.
            type: of its value.
            default: what it is where it is not given.
            help: what it is; the default is added.
            metavar: how its value is written in the help; FILE and RUN stand for paths, which may not be empty.
            of_key: it is a key of a configuration, so that none is a default as any other.
        """
        self._types[name] = type
        if metavar is not None and metavar.startswith(("FILE", "RUN")) and ":" not in metavar:
            self._paths.add(name)
        shape: dict[str, Any] = {"type": type}
        if type == list[str]:
            shape = {"type": str, "nargs": "+"}
        elif type == list[int] | None or (type == list[int] and "." not in name):
            shape = {"type": int, "nargs": "+"}
        elif type is bool:
            shape = {"type": bool, "nargs": "?", "const": True}
        if get_origin(type) is not Literal:
            shape["metavar"] = metavar or METAVARS.get(type) or choices_of(type) or "VALUE"
        self._group.add_argument(
            f"--{name}", default=default, help=with_default(help, default, of_key), **shape
        )

    def at_least(self, name: str, least: int) -> None:
        """Refuse smaller values of an option that `add` added."""
        self._limits.setdefault(name, {})["at_least"] = least

    def at_most(self, name: str, most: int) -> None:
        """Refuse larger values of an option that `add` added."""
        self._limits.setdefault(name, {})["at_most"] = most

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
            self.add(name, hint, default_of(field), helps.get(key, ""), metavar, of_key=True)

    def given(self, values: Namespace, kind: type) -> dict[str, Any]:
        """The values of a dataclass's fields that were typed, by the fields' names."""
        known = {key for key, _, _ in fields_of(kind)}
        given: dict[str, Any] = {}
        for name in self._typed:
            key = name.replace("-", "_")
            if key in known:
                given[key] = values[key]
        return given

    def given_keys(self, values: Namespace) -> dict[str, Any]:
        """The values of the dotted keys that were typed."""
        given = {name: values[name] for name in self._typed if "." in name}
        return {
            key: value.as_dict() if isinstance(value, Namespace) else value for key, value in given.items()
        }

    def flag(self, name: str, help: str) -> None:
        """Add `--name`, which is off unless given."""
        self._types[name] = bool
        self._flags.add(name)
        self._group.add_argument(f"--{name}", action="store_true", help=with_default(help, None))

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
                    if "auto" in field.metadata:
                        metavar = f"{METAVARS.get(hint) or choices_of(hint)}|{AUTO}"
                        hint = Union[hint, Literal["auto"]]  # noqa: UP007 - made at run time
                    self.add(key, hint, default_of(field), helps.get(key, ""), metavar, of_key=True)
                    if not field.metadata.get("common"):
                        self._hidden.add(key)
        if self._hidden:
            self._types[HELP_ALL.removeprefix("--")] = bool

    def _shorten_help(self) -> None:
        """Leave the less common keys out of the help."""
        for action in self._parser._actions:
            if any(option.removeprefix("--") in self._hidden for option in action.option_strings):
                action.help = SUPPRESS
        for group in self._parser._action_groups:
            if all(action.help == SUPPRESS for action in group._group_actions):
                group.title = group.description = None
        if self._hidden:
            self._parser.epilog = f"{len(self._hidden)} more options: recurra {self._verb} {HELP_ALL}"

    def _help_all(self) -> str:
        """The option that lists all others."""
        return HELP_ALL if self._hidden else "--help"

    # ---------------------------------------------------------------- parsing

    def parse(self, arguments: Sequence[str]) -> Namespace:
        """The values, by dotted key; `--help` prints the help and exits.

        Raises:
            ConfigError: an option is unknown or missing, or its value is not of its type.
        """
        self._check_names(arguments)
        if HELP_ALL in arguments:
            arguments = ["--help"]
        elif {"--help", "-h"} & set(arguments):
            self._shorten_help()
        arguments = join_lists(arguments, self._types)
        self._typed = names_typed(arguments)
        for file in values_of("config", arguments) if "config" in self._types else []:
            check_path("--config", file)
            self._parser.set_defaults(self._read_config(find_config(file)))
        ordered = positionals_first(arguments, self._types) if self._positionals else arguments
        arguments_for_parser = plain_values(ordered, self._types, self._flags)
        try:
            values = self._parser.parse_args(arguments_for_parser)
        except ArgumentError as error:
            raise ConfigError(self._one_line(str(error), arguments)) from error
        self._check_values(values)
        return values

    def _check_values(self, values: Namespace) -> None:
        """Refuse numbers out of range, and texts that name no file."""
        for name, kind in self._types.items():
            value = values.get(name.replace("-", "_"))
            if kind in (int, int | None):
                check_number(f"--{name}", value, int | None, **self._limits.get(name, {}))
            elif name in self._paths:
                for path in value if isinstance(value, list) else [value]:
                    check_path(f"--{name}", path)
        for name in self._positionals:
            value = values.get(name)
            for path in value if isinstance(value, list) else [value]:
                check_path(name.upper(), path)

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
                hint = (
                    option_hint(name, self._types)
                    or f" `recurra {self._verb} {self._help_all()}` lists them."
                )
                raise ConfigError(f"--{shortened(name)}: no such option of `recurra {self._verb}`.{hint}")

    def _one_line(self, message: str, arguments: Sequence[str]) -> str:
        """A complaint of jsonargparse, which may take eight lines, as: option, what was expected, what came."""
        if matched := re.search(r'Parser key "([^"]+)"', message):
            name = self._name(matched[1])
            shown = re.search(r"(?:Given value|Got value): (.*)\Z", message, re.DOTALL)
            typed = values_of(name, arguments)[-1:] or [shown[1] if shown else "another type"]
            return wrong_value(f"--{name}", self._types.get(name, str), typed[0])
        if matched := re.search(
            r"argument (\S+?)(?:/\S+)?: ignored explicit argument (.*)", message, re.DOTALL
        ):
            option = matched[1].rpartition(",")[2]
            got = quoted(values_of(option[2:], arguments)[-1])
            return f"{option}: takes no value, got {got}; write {option} alone."
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
            if "data.train" in self._types:
                return f"{quoted(matched[1])}: not expected here. Did you mean --data.train {shortened(matched[1])}?"
            return f"{quoted(matched[1])}: not expected here; `recurra {self._verb} --help` shows the usage."
        return " ".join(shortened(" ".join(message.split())).split())

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
                hint = f"{nearest(key, known)} (This is recurra {__version__}.)"
                raise ConfigError(f"{where}: unknown key {quoted(key)}.{hint}")
            if key in values:
                raise ConfigError(f"{where}: key {quoted(key)} is given twice; keep one.")
            if key == FROM_COMMAND_LINE_ONLY and isinstance(value, str) and ":" in value:
                raise ConfigError(
                    f"{where}: {key} may name a built-in cell only, got {quoted(value)}; "
                    f"code is named on the command line: --{key} {value}"
                )
            values[key] = self._convert(where, key, value)
        return values

    def _convert(self, where: str, key: str, value: Any) -> Any:
        kind = self._types[key]
        wrong = ConfigError(wrong_value(f"{where}: {key}", kind, value))
        if kind == list[str]:
            value = [value] if isinstance(value, str) else value
            if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
                raise wrong
            return value
        if value is None or is_none(value, kind):
            if type(None) not in get_args(kind):
                raise wrong
            return None
        try:
            parsed = self._parser.parse_object(_nested(key, value), defaults=False)
        except ArgumentError as error:
            raise wrong from error
        return parsed[key]


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


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


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


def check_path(option: str, path: str | None) -> None:
    """Refuse a text that names no file, or, though no program but the shell knows `~`, one below the home folder.

    Raises:
        ConfigError: it is empty, or begins with `~/`.
    """
    if path == "":
        raise ConfigError(f"{option}: expected a file or folder, got an empty text; name one.")
    if path is not None and (path == "~" or path.startswith("~/")):
        raise ConfigError(
            f"{option}: got {quoted(path)}, in which the shell has put no home folder; write its path out, or ./~ for "
            "a folder of that name."
        )
