from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recurra.data.notes import Notes, note_sequences, parse_notes
from recurra.data.vocabularies import load_vocabulary
from recurra.errors import DataError, ShapeError


def test_a_set_of_notes_is_a_row_of_keys():
    notes = Notes()
    assert len(notes) == 88
    rows = notes.encode_line("21 60 108 60\n")
    assert (rows.dtype, rows.shape) == (np.uint8, (1, 88))
    assert np.flatnonzero(rows[0]).tolist() == notes.keys([21, 60, 108]) == [0, 39, 87]
    assert notes.encode_line("\n").sum() == 0
    assert notes.symbols[39] == "60"


def test_a_silent_voice_is_left_out_and_whole_floats_are_notes():
    assert Notes().keys([-1, 60.0, -1, np.int64(22)]) == [39, 1]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ([60, 20], r"note 20 lies outside 21\.\.108\. Transpose it, or widen --data\.note_range"),
        ([109.0], "note 109 lies outside"),
        ([60.5], r"expected MIDI notes \(whole numbers\), got 60.5"),
        ([float("nan")], "got nan"),
        ([float("inf")], "got inf"),
        (["60"], "got '60'"),
        ([[60]], r"got \[60\]"),
        ([None], "got None"),
        (60, "expected a list of MIDI notes, got 60"),
        ("60", "expected a list of MIDI notes, got '60'"),
    ],
)
def test_what_is_not_a_note_is_refused(step, message):
    with pytest.raises(DataError, match=message):
        Notes().keys(step)


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(30, 40))))
def test_text_comes_back(steps):
    notes = Notes(30, 40)
    text = "".join(" ".join(map(str, sorted(step))) + "\n" for step in steps)
    rows = notes.encode(text)
    assert rows.shape == (len(steps), 11)
    assert [set(np.flatnonzero(row) + 30) for row in rows] == steps
    assert notes.decode(rows) == text


def test_text_that_is_not_notes_is_refused():
    with pytest.raises(DataError, match="expected MIDI notes"):
        Notes().encode_line("60 C4")
    with pytest.raises(DataError, match="note 5 lies outside"):
        Notes().encode_line("60\n5")


def test_note_sets_are_not_rows_of_ids():
    assert (Notes().eos_id, Notes().unk_id) == (None, None)
    with pytest.raises(ShapeError, match="encode_lines: note sets"):
        Notes().encode_lines(["60"])


def test_saved_and_loaded_it_is_the_same(tmp_path):
    Notes(30, 41).save(tmp_path)
    loaded = load_vocabulary(tmp_path)
    assert isinstance(loaded, Notes)
    assert (loaded.lowest, loaded.highest, loaded.digest) == (30, 41, Notes(30, 41).digest)


def test_sequences_of_a_split_and_of_a_list():
    value = parse_notes(b'{"train": [[[60, 64], []], []], "test": []}', "a.json")
    sequences = note_sequences(value, "train", Notes(), "a.json")
    assert [sequence.shape for sequence in sequences.sequences] == [(2, 88), (0, 88)]
    assert sequences.tokens == 2
    assert sequences.sequences[0].sum(1).tolist() == [2, 0]
    assert note_sequences([[[60]]], "valid", Notes(), "a.json").tokens == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"train":\n [[[60,]]]}', r"^a\.json, line 2: not JSON \(.* at column \d+\)"),
        (b"\xff\xff", r"^a\.json: not JSON"),
        (b"[" * 100_000, r"^a\.json: not JSON"),
        (b"7", r"^a\.json: expected a list of sequences, or an object"),
        (b'{"tune": []}', r"^a\.json: expected a list of sequences, or an object"),
        (b'{"valid": []}', r"^a\.json: expected the key 'train', got \['valid'\]"),
        (b'{"train": {}}', r"^a\.json: train: expected a list, got \{\}"),
        (b'{"train": [[], []]}', r"^a\.json: train holds no step"),
        (b"[]", r"^a\.json: sequences holds no step"),
        (b'{"train": [[[60]], 4]}', r"^a\.json: train\[1\]: expected a list, got 4"),
        (b'{"train": [[[60], 7]]}', r"^a\.json: train\[0\]\[1\]: expected a list of MIDI notes, got 7"),
        (b'{"train": [[[60]], [[60], [2]]]}', r"^a\.json: train\[1\]\[1\]: note 2 lies outside 21\.\.108"),
        (b'[[["C4"]]]', r"^a\.json: sequences\[0\]\[0\]: expected MIDI notes"),
    ],
)
def test_errors_name_file_and_place(data, message):
    with pytest.raises(DataError, match=message):
        note_sequences(parse_notes(data, "a.json"), "train", Notes(), "a.json")
