from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from recurra.errors import DataError
from recurra.metrics.error_rates import (
    closest_reference,
    edit_distance,
    error_rate,
    exact_match,
    sequence_error_rate,
)

SEQUENCES = st.lists(st.sampled_from("abc"), max_size=5)


def brute_force(a: list[str], b: list[str]) -> int:
    """Every way there is: drop a's first symbol, insert b's, or pair the two."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        1 + brute_force(a[1:], b), 1 + brute_force(a, b[1:]), (a[0] != b[0]) + brute_force(a[1:], b[1:])
    )


@settings(max_examples=100, deadline=None, derandomize=True)
@given(SEQUENCES, SEQUENCES)
def test_edit_distance_equals_brute_force(a, b):
    assert edit_distance(a, b) == brute_force(a, b)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.tuples(SEQUENCES, st.lists(SEQUENCES, min_size=1, max_size=3)), min_size=1, max_size=4))
def test_error_rate_sums_edits_and_lengths_of_the_closest(pairs):
    hypotheses, references = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    nearest = [min((brute_force(h, r), -len(r)) for r in listed) for h, listed in pairs]
    length = -sum(negative for _, negative in nearest)
    if not length:
        with pytest.raises(DataError, match="at least one token to divide the edits by"):
            error_rate(hypotheses, references)
        return
    rate = error_rate(hypotheses, references)
    assert (rate.edits, rate.reference_length) == (sum(edits for edits, _ in nearest), length)
    assert rate.value == pytest.approx(100 * rate.edits / length)
    assert rate.sequences == len(pairs)


def test_insertions_deletions_and_substitutions_cost_one_each():
    assert edit_distance("abcd", "abd") == 1
    assert edit_distance("abd", "abcd") == 1
    assert edit_distance("abcd", "abxd") == 1
    assert edit_distance("abcd", "badc") == 3
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert edit_distance(["ab", "c"], ("ab", "c")) == 0
    assert edit_distance(["ab", "c"], ["a", "bc"]) == 2


def test_closest_reference_is_the_longest_of_those_as_close_and_then_the_first():
    assert closest_reference("abc", ["xyz", "abx", "ab"]) == (1, "abx")
    assert closest_reference("abc", ["ab", "abcd", "abx"]) == (1, "abcd")
    assert closest_reference("abc", ["abx", "abd"]) == (1, "abx")
    assert closest_reference("abc", ["abcdefgh", "a"]) == (2, "a")


def test_rates_carry_what_they_count():
    rate = error_rate(
        [["K", "AE", "T"], [], ["D", "AO"]],
        [[["K", "AH", "T"], ["B"]], [["EY"], ["AH", "X"]], [["D", "AO", "G"]]],
        unit="phoneme",
    )
    assert (rate.edits, rate.reference_length, rate.sequences) == (3, 7, 3)
    assert rate.value == pytest.approx(300 / 7)
    assert "3 edits / 7 phonemes, 3 sequences" in rate.signature
    assert rate.as_dict() == {
        "phoneme_error_rate": rate.value,
        "edits": 3,
        "reference_length": 7,
        "sequences": 3,
        "signature": rate.signature,
    }
    assert error_rate(["abc"], [["x"]]).value == 300


def test_whole_sequences_are_right_if_any_reference_has_them():
    hypotheses = [["K", "AE", "T"], ["D"], ["T", "UW"], []]
    references = [
        [["K", "AE"], ["K", "AE", "T"]],
        [["D", "AO", "G"]],
        [("T", "UW"), ("T", "AH")],  # a list and a tuple of the same symbols are equal
        [["AH"]],
    ]
    right = exact_match(hypotheses, references)
    assert (right.count, right.sequences, right.value) == (2, 4, 50)
    assert "2 / 4" in right.signature
    wrong = sequence_error_rate(hypotheses[:3], references[:3])
    assert (wrong.count, wrong.sequences) == (1, 3)
    assert wrong.value == pytest.approx(100 / 3)
    assert wrong.as_dict() == {
        "sequence_error_rate": wrong.value,
        "count": 1,
        "sequences": 3,
        "signature": wrong.signature,
    }
    assert exact_match(["3 may", "4 may"], [["3 May"], ["4 may"]]).value == 50


@pytest.mark.parametrize("score", [error_rate, exact_match, sequence_error_rate])
def test_what_cannot_be_scored_is_refused(score):
    with pytest.raises(DataError, match="at least one to score, got none"):
        score([], [])
    with pytest.raises(DataError, match="at least one for hypothesis 2, got none"):
        score(["ab", "c"], [["ab"], []])
    with pytest.raises(DataError, match="each of the 2 hypotheses, got 3"):
        score(["ab", "c"], [["ab"], ["c"], ["d"]])
