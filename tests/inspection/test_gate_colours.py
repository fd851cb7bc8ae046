"""Colours of units: two sides for values with a sign, one for shares."""

from __future__ import annotations

import numpy as np

from recurra.inspection.gate_colours import colours, dark


def luminance(rgb: np.ndarray) -> np.ndarray:
    return rgb @ (0.299, 0.587, 0.114)


def test_values_with_a_sign_are_white_in_the_middle_and_shares_at_zero() -> None:
    signed, shares = colours(), colours(signed=False)
    assert signed.shape == shares.shape == (256, 3)
    assert 110 < luminance(signed).argmax() < 146
    assert signed[0, 2] > signed[0, 0]
    assert signed[-1, 0] > signed[-1, 2]
    np.testing.assert_array_equal(shares[0], 1)
    assert (np.diff(luminance(shares)) < 1e-9).all()


def test_text_is_white_on_dark_colours_only() -> None:
    for palette in (colours(), colours(signed=False)):
        np.testing.assert_array_equal(dark(palette), luminance(palette) < 0.5)
        assert 0 < dark(palette).sum() < 256
