"""The configuration of language models: what is refused, and what follows from it."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.models.language_model_config import LanguageModelConfig


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hidden_size": [5, 0]}, r"model\.hidden_size: expected whole numbers of at least 1, got \[5, 0\]"),
        ({"num_layers": 0}, r"model\.num_layers: expected a whole number from 1 to 1000, got 0"),
        ({"embedding_size": True}, r"model\.embedding_size: .* got True"),
        ({"dropout": 1}, r"model\.dropout: expected a probability in \[0, 1\), got 1"),
        ({"sampled_softmax": 0}, r"model\.sampled_softmax: .* at least 1, got 0"),
        ({"chunk": 0}, r"model\.chunk: .* at least 1, got 0"),
        (
            {"initial_state": "ones"},
            r"model\.initial_state: expected one of zero, learned, random, got 'ones'",
        ),
        ({"initial_bias": 0.5}, r"model\.initial_bias: expected a mapping of names to numbers, got 0\.5"),
        ({"residual": 1}, r"model\.residual: expected true or false, got 1"),
        ({"cell": None}, r"model\.cell: expected the name of a built-in cell.*, got None"),
        ({"tied": True, "input": "one_hot"}, r"model\.tied: there is no embedding"),
        ({"tied": True, "embedding_size": 5, "hidden_size": [5, 7]}, r"5 wide and the last layer 7.* 7\."),
    ],
)
def test_what_cannot_be_configured(options, says):
    with pytest.raises(ConfigError, match=f"^{says}" if says.startswith("model") else says):
        LanguageModelConfig(**options)


def test_tied_weights_take_the_width_of_the_last_layer():
    assert LanguageModelConfig(tied=True, embedding_size=7, hidden_size=[5, 7]).tied


def test_depth_is_that_of_the_list_or_the_number_of_layers():
    assert LanguageModelConfig(hidden_size=[5, 7, 3]).depth == 3
    assert LanguageModelConfig(hidden_size=5, num_layers=2).depth == 2


def test_sizes_in_a_tuple_are_a_list_as_from_a_file():
    assert LanguageModelConfig(hidden_size=(5, 7)) == LanguageModelConfig(hidden_size=[5, 7])
