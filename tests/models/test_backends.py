"""The backends that a model's configuration may name."""

from __future__ import annotations

import pytest

from recurra.engine import CHOICES
from recurra.errors import ConfigError
from recurra.models.backends import backend_names
from recurra.models.language_model_config import LanguageModelConfig


def test_they_are_the_engines():
    assert list(backend_names()) == list(CHOICES)
    assert {"auto", "reference"} <= set(backend_names())


@pytest.mark.parametrize("name", backend_names())
def test_each_may_be_named(name):
    assert LanguageModelConfig(backend=name).backend == name


@pytest.mark.parametrize(("backend", "hint"), [("referense", ".* 'reference'"), ([], ""), (None, "")])
def test_others_are_refused(backend, hint):
    with pytest.raises(ConfigError, match=rf"^model\.backend: expected one of auto, .*got {hint}"):
        LanguageModelConfig(backend=backend)
