from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from recurra.data.labels import Labels
from recurra.data.vocabularies import load_vocabulary
from recurra.errors import DataError, RunError, ShapeError

NAMES = ["VERB", "NOUN", "ADJ", "NOUN", "<unk>", "two words", "ADJ", "NOUN"]


def test_labels_are_numbered_by_count_then_alphabet_from_0():
    labels = Labels.build(NAMES)
    assert labels.symbols == ["NOUN", "ADJ", "<unk>", "VERB", "two words"]
    assert (len(labels), labels.eos_id, labels.unk_id) == (5, None, None)
    ids = labels.encode(NAMES)
    assert ids.tolist() == [3, 0, 1, 0, 2, 4, 1, 0]
    assert ids.dtype == np.int64
    assert labels.decode(ids) == NAMES
    assert labels.decode(torch.from_numpy(ids)) == NAMES
    assert Labels.build(reversed(NAMES)).digest == labels.digest
    assert labels.encode([]).shape == (0,)


def test_a_line_is_a_label():
    labels = Labels.build(NAMES)
    assert labels.encode_line("two words").tolist() == [4]
    assert labels.encode_line(b"ADJ").tolist() == [1]
    rows = labels.encode_lines(["ADJ", "two words", "ADJ"])
    assert [row.tolist() for row in rows] == [[1], [4], [1]]
    assert len(labels.encode_lines([])) == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("NUON", " Did you mean 'NOUN'?"),
        ("zzz", ""),
        ("noun", " Did you mean 'NOUN'?"),
        ("", ""),
        ("two word", " Did you mean 'two words'?"),
    ],
)
def test_a_label_never_seen_is_refused_with_the_nearest(name, hint):
    with pytest.raises(DataError) as error:
        Labels.build(NAMES).encode(["NOUN", name])
    assert str(error.value) == (
        f"label {name!r}: expected one of the 5 labels of the training data "
        f"(NOUN, ADJ, <unk>, VERB, two words).{hint}"
    )


def test_of_many_labels_the_most_frequent_are_named():
    labels = Labels([f"class {number}" for number in range(300)])
    with pytest.raises(DataError, match=r"one of the 300 labels .*\(class 0, class 1, .*class 4, \.\.\.\)"):
        labels.encode(["x"])


def test_data_without_labels_are_refused():
    with pytest.raises(DataError, match="the training data have no labels"):
        Labels.build([])
    with pytest.raises(ShapeError, match=r"ids: expected 0\.\.1"):
        Labels(["a", "b"]).decode([2])


def test_saved_and_loaded_they_are_the_same(tmp_path):
    labels = Labels.build(NAMES)
    labels.save(tmp_path)
    loaded = load_vocabulary(tmp_path)
    assert isinstance(loaded, Labels)
    assert (loaded.symbols, loaded.digest, loaded.unit) == (labels.symbols, labels.digest, "labels")
    assert Labels(labels.symbols[::-1]).digest != labels.digest
    file = tmp_path / "vocabulary.json"
    for damaged in (["a", "a"], [], None, ["a", 3]):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"labels": damaged}))
        with pytest.raises(RunError, match=r"damaged; expected .*`labels`"):
            load_vocabulary(tmp_path)
