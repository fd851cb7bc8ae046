from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recurra.data.rows import Rows, offsets_of

RAGGED = [[5, 3, 0], [0], [7, 7, 2, 9, 0], [4, 0], [], [6, 0]]


def make_rows(rows: list[list[int]]) -> Rows:
    return Rows(np.array([index for row in rows for index in row], np.int64), np.cumsum([0, *map(len, rows)]))


def as_lists(rows: Rows) -> list[list[int]]:
    return [row.tolist() for row in rows]


def test_rows_are_a_sequence():
    rows = make_rows(RAGGED)
    assert len(rows) == 6
    assert as_lists(rows) == RAGGED
    assert rows[-3].tolist() == [4, 0]
    assert rows.lengths.tolist() == [3, 1, 5, 2, 0, 2]
    for index in (6, -7):
        with pytest.raises(IndexError, match="out of range"):
            rows[index]


@settings(max_examples=50, deadline=None)
@given(chosen=st.lists(st.integers(0, 5), max_size=9))
def test_select_takes_rows_in_any_order_and_number(chosen):
    selected = make_rows(RAGGED).select(np.array(chosen, np.int64))
    assert as_lists(selected) == [RAGGED[index] for index in chosen]


def test_cut_keeps_the_end_of_a_row():
    rows = make_rows(RAGGED)
    assert as_lists(rows.cut(2)) == [[5, 0], [0], [7, 0], [4, 0], [], [6, 0]]
    assert as_lists(rows.cut(4)) == [[5, 3, 0], [0], [7, 7, 2, 0], [4, 0], [], [6, 0]]
    assert rows.cut(5) is rows


def test_join_puts_parts_one_after_the_other():
    parts = make_rows(RAGGED[:2]), make_rows([]), make_rows(RAGGED[2:])
    assert as_lists(Rows.join(parts)) == RAGGED
    assert as_lists(Rows.join(parts[:1])) == RAGGED[:2]
    assert as_lists(Rows.join([])) == []


def test_rows_of_arrays_are_joined():
    rows = Rows.of([np.array(row, np.int64) for row in RAGGED])
    assert as_lists(rows) == RAGGED
    assert rows.ids.dtype == rows.offsets.dtype == np.int64
    assert len(Rows.of([])) == 0


def test_offsets_are_where_rows_begin_and_end():
    assert offsets_of(np.array([3, 0, 2])).tolist() == [0, 3, 3, 5]
    assert offsets_of(np.array([], np.int64)).tolist() == [0]
