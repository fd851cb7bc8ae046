"""What a resumed run is asked to do otherwise."""

from __future__ import annotations

import pytest

from recurra.errors import RunError
from recurra.training.changes import Change, check_kept, differences


def test_values_of_both_times_are_compared_and_others_are_of_another_version():
    assert differences({"a": 1, "b": 2, "old": 3}, {"a": 1, "b": None, "new": 4}) == {"b": Change(2, None)}
    assert str(Change(2, None)) == "was 2 and is now none"
    assert str(Change("cosine", "linear")) == "was cosine and is now linear"
    assert len(str(Change("x" * 10_000, 10**5000))) < 400


def test_what_is_kept_is_refused_with_the_reason():
    changed = {"training.bptt": Change(4, 5)}
    check_kept(changed, {"training.seed": "it is so"}, "run")
    with pytest.raises(
        RunError, match=r"^run: training\.bptt was 4 and is now 5; a run keeps it, since it is so\. "
    ):
        check_kept(changed, {"training.bptt": "it is so"}, "run")
