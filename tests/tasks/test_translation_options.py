"""The options of a translator: one default in one place, and what they have no use for together."""

from __future__ import annotations

import dataclasses

import pytest

from recurra.decode.config import BeamConfig
from recurra.errors import ConfigError
from recurra.settings import help_of
from recurra.tasks.translation_options import (
    AttentionOptions,
    BeamOptions,
    ErrorOptions,
    LengthOptions,
    TranslateEvaluateOptions,
    TranslatePredictOptions,
)

ALL = (
    AttentionOptions,
    BeamOptions,
    ErrorOptions,
    LengthOptions,
    TranslateEvaluateOptions,
    TranslatePredictOptions,
)


@pytest.mark.parametrize("kind", ALL)
def test_the_defaults_are_those_of_the_search_and_every_flag_has_help(kind):
    helps, defaults = help_of(kind), BeamConfig()
    for field in dataclasses.fields(kind):
        if hasattr(defaults, field.name):
            assert getattr(kind(), field.name) == getattr(defaults, field.name), field.name
        assert helps.get(field.name) or field.name == "files", field.name


def test_what_is_fixed_is_no_flag():
    assert "n_best" not in {field.name for field in dataclasses.fields(TranslateEvaluateOptions)}
    assert TranslateEvaluateOptions(beam_size=3).n_best == 1
    names = {field.name for field in dataclasses.fields(ErrorOptions)}
    assert not names & {"n_best", "beam_size", "coverage_penalty"}


@pytest.mark.parametrize("kind", ALL)
def test_ranges_are_those_of_the_search(kind):
    with pytest.raises(ConfigError, match="length_penalty: expected a number from 0 to 1, got 2"):
        kind(length_penalty=2)
