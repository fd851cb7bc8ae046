"""What options of layers may be, without PyTorch."""

from __future__ import annotations

import pytest

from recurra import layers
from recurra.cells import LSTM
from recurra.layers.attention import Attention
from recurra.layers.names import ENERGIES, INITIAL_STATES
from recurra.layers.recurrent import Recurrent
from torch_free import run_torch_free


def test_names_and_options_are_found_without_pytorch():
    run_torch_free("""
        import recurra.layers
        from recurra.layers.names import ENERGIES, INITIAL_STATES, Energy
        from recurra.layers.regularisation import Regularisation
        from recurra.errors import ConfigError
        assert Regularisation(zoneout={'c': 0.5}).zoneout == {'c': 0.5}
        try:
            Regularisation(weight_drop=1.0)
        except ConfigError as error:
            assert 'weight_drop' in str(error)
        else:
            raise AssertionError('a probability of 1')
    """)


@pytest.mark.parametrize("name", INITIAL_STATES)
def test_every_initial_state_is_one(name: str):
    assert Recurrent(LSTM, 2, 3, initial_state=name).initial_state == name


@pytest.mark.parametrize("name", ENERGIES)
def test_every_energy_is_one(name: str):
    assert Attention(name, 3, 3).energy == name


def test_every_public_name_resolves_and_is_listed():
    assert set(layers.__all__) <= set(dir(layers))
    assert all(getattr(layers, name) is not None for name in layers.__all__)


def test_an_unknown_name_raises():
    with pytest.raises(AttributeError, match="no attribute 'Recurent'"):
        layers.Recurent  # noqa: B018
