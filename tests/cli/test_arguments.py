"""Arguments as typed: lists, values that are no text, and what stands after `--`."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from recurra.cli.arguments import join_lists, names_typed, plain_values, positionals_first, values_of
from recurra.errors import ConfigError

TYPES: dict[str, Any] = {
    "files": list[str],
    "columns": list[int] | None,
    "size": int,
    "limit": int | None,
    "rate": float,
    "on": bool,
    "json": bool,
    "kind": Literal["left", "right"] | None,
    "mixed": int | list[int],
    "bias": dict[str, float] | None,
    "text": str | None,
}


def plain(*arguments: str) -> list[str]:
    return plain_values(arguments, TYPES, {"json"})


def test_a_list_is_joined_behind_its_first_name():
    given = ["--files", "a", "--size", "3", "--files=b", "--files", "c", "--", "--files", "d"]
    assert join_lists(given, TYPES) == ["--files", "a", "b", "c", "--size", "3", "--", "--files", "d"]
    assert join_lists(["--columns", "1", "--columns", "2"], TYPES) == ["--columns", "1", "2"]
    assert join_lists(["--files=-x"], TYPES) == ["--files=-x"]


def test_nothing_after_two_dashes_is_an_option():
    given = ["--size", "3", "--", "--size=4", "--rate"]
    assert names_typed(given) == ["size"]
    assert values_of("size", given) == ["3"]
    assert values_of("size", ["--size", "1", "--size=2", "--size"]) == ["1", "2"]
    assert plain("--", "--size=010") == ["--", "--size=010"]


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        (("--size", "+5"), ["--size", "5"]),
        (("--rate=1e-3",), ["--rate=0.001"]),
        (("--limit", "none"), ["--limit", "null"]),
        (("--limit=~",), ["--limit=null"]),
        (("--on=True",), ["--on=true"]),
        (("run", "--on"), ["run", "--on"]),  # a positional argument
        (("--json", "run"), ["--json", "run"]),
        (("--kind", "left"), ["--kind", "left"]),
        (("--mixed", "[1,2]"), ["--mixed", "[1, 2]"]),
        (("--bias", "{forget: 0}"), ["--bias", '{"forget": 0}']),
        (("--text", "010", "--files", "1:30", "!!x"), ["--text", "010", "--files", "1:30", "!!x"]),
        (("--columns", "1", "2", "--size", "3", "x"), ["--columns", "1", "2", "--size", "3", "x"]),
    ],
)
def test_values_are_written_as_json(typed, written):
    assert plain(*typed) == written


@pytest.mark.parametrize(
    "value", ["010", "0x10", "1:30", "1_000", "٣", "", " ", "!!int ''", "&a 1", "1e999", "nan", "yes"]
)
@pytest.mark.parametrize("name", ["size", "rate", "limit", "mixed", "on"])
def test_what_yaml_1_1_reads_as_a_number_is_none(name, value):
    with pytest.raises(ConfigError, match=rf"^--{name}: expected .*, got "):
        plain(f"--{name}={value}")


def test_brackets_that_are_no_plain_yaml_say_so():
    with pytest.raises(ConfigError, match=r"^--bias, line 1: YAML aliases"):
        plain("--bias", "[&a [1], *a]")
    with pytest.raises(
        ConfigError, match=r"^--kind: expected one of left, right or none, got 'lfet'. Did you mean 'left'"
    ):
        plain("--kind", "lfet")


def test_positional_arguments_go_first():
    assert positionals_first(["--json", "run", "--columns", "1", "2", "--size", "3", "file"], TYPES) == [
        *("run", "file", "--json", "--columns", "1", "2", "--size", "3")
    ]
