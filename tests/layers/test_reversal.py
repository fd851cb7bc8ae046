"""Ragged sequences backwards, against Python's own reversal."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra.layers.reversal import reverse

LENGTHS = [4, 0, 6, 1, 5]


@pytest.mark.parametrize("width", [(), (3,), (2, 3)])
def test_rows_are_reversed_up_to_their_lengths(width):
    """What lies past a length stays where it is."""
    x = torch.randn(len(LENGTHS), 6, *width, dtype=torch.float64)
    found = reverse(x, torch.tensor(LENGTHS))
    for row, reversed_row, length in zip(x, found, LENGTHS, strict=True):
        assert torch.equal(torch.stack([*reversed(row[:length]), *row[length:]]), reversed_row)
    assert torch.equal(reverse(found, torch.tensor(LENGTHS)), x)


def test_without_lengths_every_row_is_reversed_whole():
    x = torch.randn(3, 4, 2)
    assert torch.equal(reverse(x, None), reverse(x, torch.tensor([4, 4, 4])))
    assert torch.equal(reverse(x, None)[:, 0], x[:, 3])


def test_gradients_go_back_to_where_the_steps_came_from():
    x = cases.leaf(torch.randn(len(LENGTHS), 6, 3, dtype=torch.float64))
    lengths = torch.tensor(LENGTHS)
    assert torch.autograd.gradcheck(lambda x: reverse(x, lengths), x)
    assert torch.autograd.gradgradcheck(lambda x: reverse(x, lengths), x)
