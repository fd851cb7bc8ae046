"""What can be asked of `sample`."""

from __future__ import annotations

import pytest

from recurra.decode.config import SamplingConfig
from recurra.decode.sample_options import SampleOptions
from recurra.errors import ConfigError


def test_what_decoding_needs_is_handed_on():
    options = SampleOptions(
        max_length=7, temperature=0.5, top_k=3, top_p=0.25, seed=11, prompt="x", n=2, weights="int8"
    )
    assert options.sampling() == SamplingConfig(7, 0.5, 3, 0.25, 11)
    assert SampleOptions().sampling() == SamplingConfig()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"n": 0}, "n: expected a whole number of at least 1, got 0"),
        ({"top_p": 1.5}, "top_p: expected a probability above 0 and up to 1, got 1.5"),
        (
            {"weights": "int4"},
            "weights: expected one of float32, bfloat16, int8, got 'int4'. Did you mean 'int8'?",
        ),
        ({"stop_at_line_end": "yes"}, "stop_at_line_end: expected true or false, got 'yes'"),
        ({"prompt": 3}, "prompt: expected text, got 3"),
    ],
)
def test_what_cannot_be_asked(values, says):
    with pytest.raises(ConfigError) as error:
        SampleOptions(**values)
    assert str(error.value).startswith(says)
