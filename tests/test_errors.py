"""The errors raised on purpose."""

from __future__ import annotations

import inspect

import pytest

import recurra
from recurra import errors

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
