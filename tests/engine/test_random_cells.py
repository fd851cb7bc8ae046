"""Random cells on the cpu backend: outputs, states and gradients are the reference's.

Every example is a program of its own that is compiled, so there are few of them here.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import Phase, given, settings, strategies as st

import random_cells
from agreement import assert_equal, both
from recurra.engine.cpu import build

pytestmark = [
    pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here"),
    pytest.mark.timeout(900),
]
# A layer norm over one unit or two is constant, and its gradient nothing but rounding.
HIDDEN = st.lists(st.integers(3, 11), min_size=1, max_size=3)  # a width for each layer
LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5).map(lambda lengths: [6, 0, *lengths])
# Without shrinking: each try compiles.
SETTINGS = settings(deadline=None, phases=[Phase.explicit, Phase.generate])


def assert_agrees(source: str, hidden: list[int], lengths: list[int]) -> None:
    """From a state that is not zero, over rows of which some are shorter and one is empty."""
    cell = random_cells.cell_of(source)
    assert_equal(both(cell, hidden, len(lengths), 6, lengths=torch.tensor(lengths)))


@settings(SETTINGS, max_examples=6, derandomize=True)
@given(random_cells.sources(), HIDDEN, LENGTHS)
def test_random_cells_agree_with_the_reference(source, hidden, lengths):
    assert_agrees(source, hidden, lengths)


@pytest.mark.full
@settings(SETTINGS, max_examples=25)
@given(random_cells.sources(), HIDDEN, LENGTHS)
def test_more_random_cells_agree_with_the_reference(source, hidden, lengths):
    assert_agrees(source, hidden, lengths)
