"""YAML of plain values: what it reads, and that everything else is one short line at once."""

from __future__ import annotations

import math
import time

import pytest
import yaml

from recurra.errors import ConfigError
from recurra.plain_yaml import read_plain_yaml, write_plain_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("# nothing\n", None),
        (
            "a: 1\nb:\n  c: [1, -2.5, 1e-3, .5, true, null, ~, text, 'true']\n",
            {"a": 1, "b": {"c": [1, -2.5, 1e-3, 0.5, True, None, None, "text", "true"]}},
        ),
        (
            "[1:30, 2024-01-01, yes, 0x10, 010, 1_000, '1']",
            ["1:30", "2024-01-01", "yes", "0x10", "010", "1_000", "1"],
        ),
        ("a: |\n  two\n  lines\nb: >\n  one\n  line\n", {"a": "two\nlines\n", "b": "one line\n"}),
    ],
)
def test_plain_values(text, value):
    assert read_plain_yaml(text, "it") == value


def test_infinities_and_what_is_no_number():
    values = read_plain_yaml("[.inf, -.inf, .NaN, inf, nan]", "it")
    assert values[:2] == [math.inf, -math.inf]
    assert math.isnan(values[2])
    assert values[3:] == ["inf", "nan"]


def test_what_was_written_is_read():
    values = {
        "a": [1, 2.5e-7, None, True],
        "b": {"c": "yes", "d": "1:30", "e": "", "f": "naïve: [x]", "g": "1e5"},
    }
    shared = [1]
    values |= {"h": ["1e5", ".5", "null", "~", "True", "010", "-3", ".inf"], "i": shared, "j": shared}
    text = write_plain_yaml(values)
    assert read_plain_yaml(text, "it") == values
    assert yaml.safe_load(text) == values


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "line 1: YAML aliases"),
        ("a: 1\nb: *a\n", "line 2: YAML aliases"),
        ("a: 1\nb: !!int ''\n", "line 2: YAML tags are not read, got 'tag:yaml.org,2002:int'"),
        ("a: !!timestamp x\n", "tags"),
        ("a: !own x\n", "tags"),
        ("[" * 600, "at most 32 levels"),
        ("{a: " * 600, "at most 32 levels"),
        ("a: " + "1" * 5000, "line 1: expected a number of at most 1000 digits, got 5000"),
        ("a: 1." + "1" * 5000, "number of at most 1000 digits"),
        ("a: 1\nb: 2\na: 3\n", "line 3: key 'a' is given twice"),
        ("[a, b]: 1\n", "line 1: expected a text as a key"),
        ("a: \x07\n", "not YAML"),
        ("a: [1, 2\nb: 3\n", "line 2: not YAML"),
        ("--- 1\n--- 2\n", "not YAML"),
        ("x" * 2_000_000, "at most 262,144 characters"),
        ("a: \ud800", "not YAML"),
        ("\t" * 99 + "a", "not YAML"),
    ],
)
def test_the_rest_is_refused_in_a_short_line_at_once(text, expected):
    began = time.perf_counter()
    with pytest.raises(ConfigError, match=r"^it") as caught:
        read_plain_yaml(text, "it")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert time.perf_counter() - began < 2
