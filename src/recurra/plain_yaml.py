"""YAML of plain values only: mappings, lists, texts, numbers, true, false and null.

The rest of the language is refused with its line: aliases (a few lines of them stand for gigabytes), tags, and keys
that come twice. Numbers are those of YAML 1.2: `1e-3` is one, `1:30` and `2024-01-01` are texts, `yes` is a text.
"""

from __future__ import annotations

import re
from typing import Any

from recurra.errors import ConfigError, quoted, shortened

MOST_CHARACTERS, MOST_LEVELS, MOST_DIGITS = 1 << 18, 32, 1000

CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
WHOLE = re.compile(r"[-+]?(0|[1-9]\d*)", re.ASCII)
REAL = re.compile(
    r"[-+]?(\.\d+|(0|[1-9]\d*)(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII
)


def read_plain_yaml(text: str, name: str) -> Any:
    """The value of a YAML text; None where it is empty.

    Args:
        text: of one document.
        name: of the file, for errors.

    Raises:
        ConfigError: it is not YAML, or holds more than plain values.
    """
    node = compose(text, name)
    return None if node is None else value_of(node, name)


def write_plain_yaml(values: Any) -> str:
    """Plain values as YAML that `read_plain_yaml`, and any other reader, gives back."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes every text that would be read as something else."""

    def text(dumper: Any, value: str) -> Any:
        style = "'" if value in CONSTANTS or WHOLE.fullmatch(value) or REAL.fullmatch(value) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign]
    written: str = yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True)
    return written


def compose(text: str, name: str) -> Any:
    """The text as a tree of PyYAML's nodes, which know their lines; None where it is empty.

    Raises:
        ConfigError: as of `read_plain_yaml`.
    """
    import yaml

    if len(text) > MOST_CHARACTERS:
        raise ConfigError(
            f"{name}: expected at most {MOST_CHARACTERS:,} characters of YAML, got {len(text):,}."
        )
    try:
        _check_events(yaml.parse(text, Loader=yaml.SafeLoader), name)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise ConfigError(f"{name}{line}: not YAML ({shortened(str(problem))}).") from error


def _check_events(events: Any, name: str) -> None:
    """Refuse aliases, tags and deep nesting before anything is built of them."""
    import yaml

    depth = 0
    for event in events:
        where = f"{name}, line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ConfigError(f"{where}: YAML aliases (& and *) are not read; write the value out.")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            raise ConfigError(f"{where}: YAML tags are not read, got {quoted(tag)}; write a plain value.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_LEVELS:
            raise ConfigError(f"{where}: expected at most {MOST_LEVELS} levels of brackets and indentation.")


def value_of(node: Any, name: str) -> Any:
    """The plain value of a node.

    Raises:
        ConfigError: a key comes twice or is no text, or a number has too many digits.
    """
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [value_of(item, name) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        values: dict[str, Any] = {}
        for key_node, item in node.value:
            where = f"{name}, line {key_node.start_mark.line + 1}"
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{where}: expected a text as a key.")
            if key_node.value in values:
                raise ConfigError(f"{where}: key {quoted(key_node.value)} is given twice; keep one.")
            values[key_node.value] = value_of(item, name)
        return values
    return (
        node.value
        if node.style is not None
        else _plain(node.value, f"{name}, line {node.start_mark.line + 1}")
    )


def _plain(text: str, where: str) -> Any:
    """What a scalar without quotation marks stands for."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if WHOLE.fullmatch(text):
        if len(text) > MOST_DIGITS:
            raise ConfigError(f"{where}: expected a number of at most {MOST_DIGITS} digits, got {len(text)}.")
        return int(text)
    if REAL.fullmatch(text):
        if len(text) > MOST_DIGITS:
            raise ConfigError(f"{where}: expected a number of at most {MOST_DIGITS} digits, got {len(text)}.")
        return float(re.sub(r"\.(?=[iInN])", "", text))
    return text
