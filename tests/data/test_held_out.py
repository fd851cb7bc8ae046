"""What is held out, and which of many examples are looked at."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings, strategies as st

from recurra.data.held_out import drawn, drawn_tenth


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("ab", max_size=4), max_size=60))
def test_equal_examples_are_on_one_side_and_empty_ones_are_learned_from(examples):
    chosen = drawn_tenth(examples)
    assert (chosen.shape, chosen.dtype) == ((len(examples),), np.dtype(bool))
    out = {one for one, held_out in zip(examples, chosen, strict=True) if held_out}
    stays = {one for one, held_out in zip(examples, chosen, strict=True) if not held_out}
    room = max(1, round(len(examples) / 10))
    fits = any(one and examples.count(one) <= room for one in examples)
    assert not (out & stays and fits)
    assert "" not in out
    assert bool(out) == any(examples)
    assert chosen.sum() <= max(1, round(len(examples) / 10))


def test_it_is_a_tenth_from_everywhere():
    chosen = drawn_tenth([str(number) for number in range(1000)])
    assert chosen.sum() == 100
    assert [int(part.sum() > 0) for part in np.split(chosen, 5)] == [1] * 5
    often = ["the"] * 500 + [str(number) for number in range(500)]
    assert drawn_tenth(often).sum() == 100  # of the others
    assert not drawn_tenth(often)[:500].any()


def test_a_sample_is_the_same_each_time_and_part_of_a_larger_one():
    assert drawn(5, None) == drawn(5, 9) == [0, 1, 2, 3, 4]
    few, more = drawn(1000, 20), drawn(1000, 200)
    assert (len(few), len(more)) == (20, 200)
    assert set(few) < set(more)
    assert few == sorted(few) == drawn(1000, 20)
    assert max(few) > 800
    assert drawn(0, 3) == []
