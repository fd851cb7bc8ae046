"""The errors raised on purpose."""

from __future__ import annotations

import inspect

import pytest

import recurra
from recurra import errors
from recurra.errors import quoted

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.RecurraError) and kind is not errors.RecurraError
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_public_and_also_an_error_of_python(kind):
    assert getattr(recurra, kind.__name__) is kind
    assert issubclass(kind, TypeError | ValueError | RuntimeError)
    assert str(kind("a: expected b, got c.")) == "a: expected b, got c."


def test_the_nearest_name_is_a_hint_or_nothing():
    assert errors.nearest("gruu", ["lstm", "gru"]) == " Did you mean 'gru'?"
    assert errors.nearest("quite different", ["lstm", "gru"]) == ""


HUGE = {
    "text": "x" * 10**6,
    "lists": [["y" * 500] * 100] * 100,
    "mapping": {"key": {"a" * 999: 10**4000}},
    "number": 10**5000,
    "negative number": -(10**5000),
    "bytes": bytes(10**6),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_quoted_value_is_short_and_on_one_line(kind):
    assert len(quoted(HUGE[kind])) <= 200
    assert "\n" not in quoted(HUGE[kind])


@pytest.mark.parametrize(
    "value", ["plain", "two\nlines", "\ud800", 3, -2.5, ["a", 1], {"k": None}, float("inf")]
)
def test_a_short_value_is_quoted_as_python_writes_it(value):
    assert quoted(value) == repr(value)
