"""The configuration of encoder–decoders: what is refused, and what None stands for."""

from __future__ import annotations

import pytest

from recurra.errors import ConfigError
from recurra.layers.regularisation import Regularisation
from recurra.models.translation_config import EncoderDecoderConfig


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hidden_size": 0}, r"model\.hidden_size: expected a whole number of at least 1, got 0"),
        ({"num_layers": True}, r"model\.num_layers: expected a whole number from 1 to 1000, got True"),
        ({"embedding_size": 2.5}, r"model\.embedding_size: .* got 2\.5"),
        ({"encoder_hidden_size": 0}, r"model\.encoder_hidden_size: .* got 0"),
        ({"encoder_layers": -1}, r"model\.encoder_layers: .* got -1"),
        ({"attention_size": 0}, r"model\.attention_size: .* got 0"),
        ({"dropout": 1.0}, r"model\.dropout: .*\[0, 1\), got 1\.0"),
        ({"label_smoothing": -0.1}, r"model\.label_smoothing: .* got -0\.1"),
        ({"scheduled_sampling": 1.1}, r"model\.scheduled_sampling: expected a share in \[0, 1\], got 1\.1"),
        (
            {"initial_bias": {"forget": float("nan")}},
            r"model\.initial_bias: expected a number for 'forget', got nan",
        ),
        (
            {"initial_bias": {"forget": True}},
            r"model\.initial_bias: expected a number for 'forget', got True",
        ),
        ({"tied": "outputs"}, r"model\.tied: expected one of none, output, all, got 'outputs'.*'output'"),
        ({"attention": "loung"}, r"model\.attention: expected one of .* got 'loung'.*'luong'"),
        ({"bridge": "first"}, r"model\.bridge: expected one of zero, last, learned, got 'first'"),
        ({"backend": "gpuu"}, r"model\.backend: expected one of .* got 'gpuu'"),
        ({"energy": "dots"}, r"model\.energy: expected one of .* got 'dots'.*'dot'"),
        ({"attention": "none", "energy": "dot"}, r"model\.energy: model\.attention is none; leave it out"),
        ({"attention": "none", "attention_size": 3}, r"model\.attention_size: .* leave it out"),
        (
            {"attention": "gnmt", "input_feeding": True},
            r"model\.input_feeding: belongs to .* luong, got gnmt",
        ),
        ({"attention": "gnmt", "num_layers": 1}, r"model\.num_layers: gnmt attends .* at least 2, got 1"),
        ({"hidden_size": 7}, r"model\.hidden_size: 7 cannot be halved .* model\.encoder_hidden_size"),
        (
            {"bridge": "last", "encoder_hidden_size": 5},
            r"model\.bridge: last states are 10 wide and the decoder 6",
        ),
    ],
)
def test_what_cannot_be_configured(options, says):
    with pytest.raises(ConfigError, match=says):
        EncoderDecoderConfig(**({"hidden_size": 6, "num_layers": 2} | options))


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru"},
        {"encoder_hidden_size": 8},
        {"bidirectional": False},
        {"embedding_size": 8},
        {"attention": "none"},
        {"energy": "dot"},
        {"attention_size": 8},
        {"input_feeding": True},
        {"bridge": "zero"},
        {"scheduled_sampling": 0.1},
        {"regularisation": Regularisation(0.1)},
        {"initial_bias": {"forget": 1.0}},
        {"backend": "reference"},
    ],
)
def test_a_transformer_refuses_what_recurrent_layers_take(options):
    (name,) = options
    says = rf"model\.{name}: belongs to model\.architecture recurrent, got transformer; leave it out"
    with pytest.raises(ConfigError, match=says):
        EncoderDecoderConfig(architecture="transformer", **options)


@pytest.mark.parametrize("options", [{"heads": 4}, {"feedforward_size": 8}])
def test_recurrent_layers_refuse_what_a_transformer_takes(options):
    (name,) = options
    with pytest.raises(
        ConfigError, match=rf"model\.{name}: belongs to model\.architecture transformer, got recu"
    ):
        EncoderDecoderConfig(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"architecture": "transfomer"},
            r"model\.architecture: expected one of .* got 'transfomer'.*'transformer'",
        ),
        (
            {"architecture": "transformer", "heads": 0},
            r"model\.heads: expected a whole number of at least 1, got 0",
        ),
        ({"architecture": "transformer", "feedforward_size": -2}, r"model\.feedforward_size: .* got -2"),
        (
            {"architecture": "transformer", "heads": 3, "hidden_size": 8},
            r"model\.heads: expected a divisor of model\.hidden_size 8, got 3",
        ),
    ],
)
def test_what_a_transformer_cannot_be(options, says):
    with pytest.raises(ConfigError, match=says):
        EncoderDecoderConfig(**options)


def test_what_none_stands_for():
    recurrent = EncoderDecoderConfig(hidden_size=10, num_layers=3)
    assert (recurrent.encoder_width, recurrent.encoder_depth) == (5, 3)
    assert EncoderDecoderConfig(hidden_size=7, bidirectional=False).encoder_width == 7
    assert EncoderDecoderConfig(hidden_size=7, encoder_hidden_size=4, encoder_layers=2).encoder_width == 4
    for width, heads in ((7, 1), (64, 1), (200, 2), (256, 4), (262, 2), (512, 8)):
        assert EncoderDecoderConfig(architecture="transformer", hidden_size=width).head_count == heads
    assert EncoderDecoderConfig(architecture="transformer", hidden_size=256, heads=2).head_count == 2


@pytest.mark.parametrize(
    ("options", "energy"),
    [
        ({}, "dot"),
        ({"attention": "gnmt"}, "dot"),
        ({"encoder_hidden_size": 5}, "general"),
        ({"attention": "bahdanau"}, "additive"),
        ({"attention": "bahdanau", "energy": "scaled"}, "scaled"),
    ],
)
def test_the_energy_is_the_simplest_that_the_widths_allow(options, energy):
    config = EncoderDecoderConfig(**({"hidden_size": 6, "num_layers": 2} | options))
    assert config.attention_energy == energy
